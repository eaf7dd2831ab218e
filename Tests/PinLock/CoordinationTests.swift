import CRefuse
import DmaLinux
import Synchronization
import Testing

@testable import PinLock

/// The words through which devices and converters wait for one another, by themselves.
@Suite struct CoordinationTests {
    private let lines = Lines()
    private var words: Coordination { Coordination(at: lines.base) }

    /// Whoever writes one is in nobody else's way, and no two are the same.
    @Test func eachWordHasALineOfItsOwn() throws {
        withExtendedLifetime(lines) {
            words.addOnlooker()
            #expect(lines.written == [2: 1])
            words.announceUnpin()
            #expect(lines.written == [1: 1, 2: 1])
            words.removeOnlooker()
            words.askForRevocation()
            #expect(lines.written == [1: 1, 3: 1])
            #expect(words.revocationCount == 1)
            words.recoveryLock.withLock { #expect(lines.written == [1: 1, 3: 1, 4: 1]) }
            words.thaw()
            #expect(lines.written == [0: 1, 1: 1, 3: 1])
        }
    }

    /// It is counted while it sleeps and no longer, and is woken by what it waits for alone.
    @Test func aSleeperIsCountedWhileItSleeps() throws {
        let words = words
        words.addOnlooker()
        let thread = try WorkerThread(name: "sleeper") {
            while words.releaseCount == 0 { words.sleep(while: 0, until: .never) }
        }
        waitUntil { lines.written[5] == 1 }
        words.announceUnpin()
        thread.join()
        #expect(lines.written == [1: 1, 2: 1])
        #expect(words.releaseCount == 1)
        withExtendedLifetime(lines) {}
    }

    /// A release beside an onlooker that does not sleep is an addition, and no system call.
    @Test func nobodyIsWokenWhereNobodySleeps() throws {
        let words = words
        words.addOnlooker()
        let thread = try WorkerThread(name: "device") {
            #expect(crefuse_count_from_now_on(CREFUSE_FUTEX) == 0)
            let before = crefuse_count()
            for _ in 0..<10 { words.announceUnpin() }
            #expect(crefuse_count() == before)
            #expect(words.releaseCount == 10)
            words.thaw()
            #expect(crefuse_count() == before + 1)
        }
        thread.join()
        withExtendedLifetime(lines) {}
    }

    /// A freeze is worth nothing without its barrier: the kernel is asked to register the process, and then for that.
    @Test func aFreezeIssuesTheBarrier() throws {
        let words = words
        let thread = try WorkerThread(name: "recovery") {
            #expect(crefuse_count_from_now_on(CREFUSE_MEMBARRIER) == 0)
            #expect(throws: Never.self) { try words.beginFreeze() }
            #expect(crefuse_count() == 2)
            #expect(words.isFrozen)
            words.thaw()
            #expect(!words.isFrozen)
        }
        thread.join()
        withExtendedLifetime(lines) {}
    }

    /// It sleeps until the freeze is over, and not where there is none.
    @Test func aThawIsWaitedFor() throws {
        let words = words
        words.waitForThaw()
        words.freeze.pointee.store(1, ordering: .releasing)
        let thread = try WorkerThread(name: "device") {
            #expect(crefuse_count_from_now_on(CREFUSE_FUTEX) == 0)
            words.waitForThaw()
            #expect(!words.isFrozen)
            #expect(crefuse_count() > 0)
        }
        // Whoever did not wait would see the freeze by then.
        sleep(until: .after(milliseconds: 50))
        words.thaw()
        thread.join()
        words.waitForThaw()
        withExtendedLifetime(lines) {}
    }
}

/// Zeroed memory for the words, with a line before and one behind that nobody writes.
private final class Lines: Sendable {
    private static let count = 6
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer
    var base: UnsafeMutableRawPointer { memory + 64 }

    init() {
        memory = .allocate(byteCount: (Self.count + 2) * 64, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: (Self.count + 2) * 64)
    }

    deinit { memory.deallocate() }

    /// The first word of each line that is not zero, by the line's number.
    var written: [Int: UInt32] {
        var words: [Int: UInt32] = [:]
        for line in -1...Self.count {
            let word = (base + line * 64).assumingMemoryBound(to: FutexWord.self)
                .pointee.load(ordering: .acquiring)
            if word != 0 { words[line] = word }
        }
        return words
    }
}
