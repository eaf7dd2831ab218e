import CLimits
import DmaLinux
import DmaWriter
import Glibc
import GuestMemory

/// The write engines beside the C library's memset and a non-temporal loop, on the same GiB.
func writeTargets() throws -> [Target] {
    let bytes = 1 << 30
    let memory = try SharedMapping.create(name: "limits-buffer", byteCount: bytes)
    try memory.populate(0..<bytes)
    let buffer = UnsafeMutableRawBufferPointer(start: memory.base, count: bytes)
    let baselines = [
        Subject("memset") { memset(memory.base, 0x5a, bytes) },
        Subject("nt loop") { climits_fill_nt(memory.base, 0x5a5a_5a5a_5a5a_5a5a, bytes) },
    ]
    let engines = try FillEngine.allCases.filter(\.isAvailable).map { engine in
        let writer = try DmaWriter(engine: engine, lanes: 1, device: 0)
        let stamp = writer.stamp(generation: 1)
        writer.prepare(stamp)
        return Subject(engine.rawValue) { writer.write(buffer, stamp: stamp) }
    }
    interleave(baselines + engines, rounds: 11)
    withExtendedLifetime(memory) {}
    let base = fastest(baselines)
    let best = fastest(engines)
    return [
        Target("write: \(base.name) to the \(best.name) engine", .atLeast(0.98), base, to: best)
    ]
}

private func fastest(_ subjects: [Subject]) -> Subject {
    subjects.min { Ratio.median(of: $0.times.sorted()) < Ratio.median(of: $1.times.sorted()) }!
}
