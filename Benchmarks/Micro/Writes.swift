import Benchmark
import DmaLinux
import DmaWriter

/// A write of 64 MiB by every engine.
func registerWrites() {
    let bytes = 64 << 20
    let memory = try! SharedMapping.create(name: "micro-benchmarks", byteCount: bytes)
    try! memory.populate(0..<bytes)
    let buffer = UnsafeMutableRawBufferPointer(start: memory.base, count: bytes)
    for engine in FillEngine.allCases where engine.isAvailable {
        let writer = try! DmaWriter(engine: engine, lanes: 1, device: 0)
        let stamp = writer.stamp(generation: 1)
        writer.prepare(stamp)
        Benchmark("\(engine): write 64M") { _ in
            writer.write(buffer, stamp: stamp)
            withExtendedLifetime(memory) {}
        }
    }
}
