import CRefuse
import DmaLinux
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

    /// Where nobody waits the word says that it is held and no more, and giving it back is no system call.
    @Test func alone() throws {
        nonisolated(unsafe) let word = UnsafeMutablePointer<FutexWord>.allocate(capacity: 1)
        defer { word.deallocate() }
        word.initialize(to: FutexWord(0))
        nonisolated(unsafe) let lock = ConverterLock(at: word)
        let thread = try WorkerThread(name: "converter") {
            #expect(crefuse_count_from_now_on(CREFUSE_FUTEX) == 0)
            let before = crefuse_count()
            lock.withLock { #expect(word.pointee.load(ordering: .relaxed) == 1) }
            #expect(word.pointee.load(ordering: .relaxed) == 0)
            #expect(crefuse_count() == before)
        }
        thread.join()
    }

    /// It sleeps, it does not spin: a call for each time that it is woken, and one when it gives the lock back.
    @Test func whoWaitsSleeps() throws {
        let word = UnsafeMutablePointer<FutexWord>.allocate(capacity: 1)
        defer { word.deallocate() }
        word.initialize(to: FutexWord(0))
        nonisolated(unsafe) let lock = ConverterLock(at: word)
        var thread: WorkerThread?
        try lock.withLock {
            thread = try WorkerThread(name: "converter") {
                #expect(crefuse_count_from_now_on(CREFUSE_FUTEX) == 0)
                let before = crefuse_count()
                lock.withLock {}
                #expect((2...100).contains(crefuse_count() - before))
            }
            waitUntil { word.pointee.load(ordering: .relaxed) == 2 }
            sleep(until: .after(milliseconds: 50))
        }
        thread.take()?.join()
    }
}
