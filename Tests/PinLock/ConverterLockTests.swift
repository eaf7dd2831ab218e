import Linux
import Synchronization
import Testing

@testable import PinLock

/// Conversions of pages under one lock come one after the other.
@Suite struct ConverterLockTests {
    /// Futexes may wake for no reason: whoever wakes has to look.
    @Test func whoIsWokenWithoutTheLockWaitsOn() throws {
        let word = UnsafeMutablePointer<FutexWord>.allocate(capacity: 1)
        defer { word.deallocate() }
        word.initialize(to: FutexWord(0))
        nonisolated(unsafe) let lock = ConverterLock(at: word)
        let entered = Counter()
        var thread: WorkerThread?
        try lock.withLock {
            thread = try WorkerThread(name: "converter") { lock.withLock { entered.add(1) } }
            waitUntil { word.pointee.load(ordering: .relaxed) == 2 }
            for _ in 0..<100 {
                Futex.wakeOne(word)
                sleep(until: .after(milliseconds: 1))
            }
            #expect(entered.value == 0)
        }
        thread.take()?.join()
        #expect(entered.value == 1)
    }
}
