import Testing

@testable import DmaLinux

@Suite("Where a thread's locals lie in their pages")
struct EvenStackTests {
    /// The offset in its page of a local of `body`'s callee, when `depth` frames of odd sizes lie above.
    private func offset(below depth: Int, on stack: (() -> Void) -> Void) -> Int {
        guard depth > 0 else {
            var offset = -1
            stack { offset = Self.offsetOfALocal() }
            return offset
        }
        return withUnsafeTemporaryAllocation(byteCount: 16 * depth, alignment: 16) { bytes in
            bytes[0] = UInt8(truncatingIfNeeded: depth)
            return offset(below: depth - 1, on: stack)
        }
    }

    /// A size that the compiler does not know: locals that it does know the address sanitizer puts elsewhere.
    @inline(never)
    private static func offsetOfALocal() -> Int {
        withUnsafeTemporaryAllocation(byteCount: .random(in: 64...64), alignment: 16) {
            Int(bitPattern: $0.baseAddress!) % 4096
        }
    }

    @Test("are the same however much lies above")
    func even() {
        let offsets = Set((0..<40).map { offset(below: $0, on: onEvenStack) })
        #expect(offsets.count == 1, "\(offsets.sorted())")
    }

    @Test("differ without that")
    func uneven() {
        let offsets = Set((0..<40).map { offset(below: $0, on: { $0() }) })
        #expect(offsets.count > 10)
    }
}
