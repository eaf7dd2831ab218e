import DmaLinux
import Glibc
import Testing

@Suite struct RobustMutexTests {
    private let mapping: SharedMapping
    private let mutex: RobustMutex
    private let repaired = Counter()

    init() throws {
        mapping = try SharedMapping.create(name: "mutex", byteCount: 4096)
        mutex = RobustMutex(at: mapping.base) { [repaired] in repaired.add(1) }
    }

    /// A thread ends with the mutex in hand, as a process does that is killed.
    private func abandon() throws {
        let mapping = mapping
        try WorkerThread(name: "abandons") {
            _ = pthread_mutex_lock(mapping.base.assumingMemoryBound(to: pthread_mutex_t.self))
        }.join()
    }

    @Test func oneAtATime() throws {
        let (mapping, sum) = (mapping, mapping.base + 64)
        let word = UInt(bitPattern: sum)
        try inParallel(
            (0..<4).map { _ in
                {
                    let mutex = RobustMutex(at: mapping.base) {}
                    let sum = UnsafeMutablePointer<Int>(bitPattern: word)!
                    for _ in 0..<10_000 { mutex.withLock { sum.pointee += 1 } }
                }
            })
        #expect(sum.load(as: Int.self) == 40_000)
    }

    @Test func aViewMadeWhileItIsHeldChangesNothing() {
        mutex.withLock {
            let before = Array(UnsafeRawBufferPointer(start: mapping.base, count: 64))
            _ = RobustMutex(at: mapping.base) {}
            #expect(Array(UnsafeRawBufferPointer(start: mapping.base, count: 64)) == before)
        }
    }

    @Test func theNextOwnerRepairsOnce() throws {
        try abandon()
        mutex.withLock { #expect(repaired.value == 1) }
        mutex.withLock {}
        #expect(repaired.value == 1)
        try abandon()
        #expect(mutex.withLock(until: .never) { 7 } == 7)
        #expect(repaired.value == 2)
    }

    @Test func theDeadlineIsKept() throws {
        let (mapping, ran) = (mapping, Counter())
        try mutex.withLock {
            Result {
                try WorkerThread(name: "waits") {
                    let mutex = RobustMutex(at: mapping.base) {}
                    for deadline in [Deadline.now, .after(milliseconds: 1)] {
                        let result: Void? = mutex.withLock(until: deadline) {}
                        ran.add(result == nil ? 0 : 1)
                    }
                }.join()
            }
        }.get()
        #expect(ran.value == 0)
    }
}
