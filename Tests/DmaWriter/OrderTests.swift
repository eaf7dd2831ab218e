import DmaLinux
import GuardedMemory
import GuestMemory
import Synchronization
import Testing

@testable import DmaWriter

/// Whoever sees that a write is over sees what it wrote.
@Suite(.serialized) struct OrderTests {
    /// A release store follows the write, as that of an unpin does, and another processor waits for it.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func aReleaseOrdersTheWriteBeforeIt(engine: FillEngine) throws {
        let memory = try GuardedPages(pages: 2)
        let writer = try DmaWriter(engine: engine, lanes: 1, device: 5)
        let done = Atomic<UInt64>(0)
        let seen = Atomic<UInt64>(0)
        let stale = Atomic<UInt64>(0)
        let rounds: UInt64 = 20_000
        let deadline = Deadline.after(milliseconds: 3_000)
        let lines = Lines(memory)
        let reader = try WorkerThread(name: "reader") {
            for round in 1...rounds {
                let expected = engine.pattern(of: Stamp(device: 5, generation: round))
                // The last line is the one that is most likely on its way.
                let last = lines.base + 8 * (lines.count - 1)
                var backoff = Backoff()
                while done.load(ordering: .acquiring) < round { backoff.pause() }
                let found = last.pointee.load(ordering: .relaxed)
                if done.load(ordering: .relaxed) == .max { return }
                let isWhole = (0..<lines.count).allSatisfy {
                    lines.base[8 * $0].load(ordering: .relaxed) == expected
                }
                if found != expected || !isWhole { stale.add(1, ordering: .relaxed) }
                seen.store(round, ordering: .releasing)
            }
        }
        for round in 1...rounds {
            if deadline.hasPassed {
                done.store(.max, ordering: .releasing)
                break
            }
            let stamp = writer.stamp(generation: round)
            writer.prepare(stamp)
            writer.write(memory.bytes, stamp: stamp)
            done.store(round, ordering: .releasing)
            var backoff = Backoff()
            while seen.load(ordering: .acquiring) < round { backoff.pause() }
        }
        reader.join()
        #expect(stale.load(ordering: .relaxed) == 0)
    }
}

/// The pages, as two threads share them: the first word of each line is every eighth.
private struct Lines: @unchecked Sendable {
    let base: UnsafeMutablePointer<Atomic<UInt64>>
    let count: Int

    init(_ memory: GuardedPages) {
        base = memory.bytes.baseAddress!.assumingMemoryBound(to: Atomic<UInt64>.self)
        count = memory.bytes.count / 64
    }
}
