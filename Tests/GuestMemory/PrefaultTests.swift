import CLinux
import DmaLinux
import Glibc
import Synchronization
import Testing

@testable import GuestMemory

@Suite struct PrefaultTests {
    private let view: GuestView

    init() throws {
        view = GuestView(try Backing.memfd.createRegion(ByteCount(64 * pageSize)))
    }

    private func job(
        _ range: PageRange, pieces pages: UInt64 = 4,
        populate: @escaping Prefault.Populate = { clinux_populate_write($0, $1) }
    ) -> Prefault {
        Prefault(range, of: view, pieceBytes: pages * pageSize, populate: populate)
    }

    private func populated() throws -> Int {
        try view.mapping.populatedByteCount() / Int(pageSize)
    }

    @Test(arguments: [-1, 1, 2, 3, 100])
    func everyPageOfTheRangeAndNoOtherIsThere(threads: Int) throws {
        let range = PageRange(start: 3, count: 33)
        try job(range).run(threads: threads, shouldStop: { false }, progress: { _ in })
        var extents: [Range<Int>] = []
        try view.mapping.forEachPopulatedExtent { extents.append($0) }
        #expect(extents == [3 * 4096..<36 * 4096])
    }

    @Test func thePublicOneDoesTheSame() throws {
        try view.prefault(view.wholeRange, threads: 2)
        #expect(try populated() == 64)
    }

    @Test func progressRisesToOne() throws {
        var shares: [Double] = []
        try job(view.wholeRange).run(
            threads: 2, shouldStop: { false }, progress: { shares.append($0) })
        #expect(shares == shares.sorted())
        #expect(shares.last == 1)
        #expect(shares.allSatisfy { $0 > 0 && $0 <= 1 })
    }

    @Test func stoppingLeavesTheRest() throws {
        #expect(throws: PrefaultFailure.stopped) {
            try job(view.wholeRange).run(
                threads: 1, shouldStop: { true },
                progress: { #expect($0 == 1.0 / 16) })
        }
        #expect(try populated() == 4)
    }

    @Test(arguments: [EINTR, EAGAIN])
    func interruptedCallsAreRepeated(code: Int32) throws {
        let counter = Counter()
        try job(PageRange(start: 0, count: 8)) { start, bytes in
            counter.next() % 3 == 0 ? clinux_populate_write(start, bytes) : -code
        }.run(threads: 1, shouldStop: { false }, progress: { _ in })
        #expect(counter.count == 6)
        #expect(try populated() == 8)
    }

    @Test(arguments: [
        (ENOMEM, PrefaultFailure.noMemory(PageRange(start: 4, count: 4))),
        (EFAULT, .noMemory(PageRange(start: 4, count: 4))),
        (EHWPOISON, .poisoned(PageRange(start: 4, count: 4))),
    ])
    func theFirstFailureEndsItAndSaysWhere(code: Int32, failure: PrefaultFailure) {
        let bad = UInt(bitPattern: view.mapping.base) + 4 * 4096
        let counter = Counter()
        #expect(throws: failure) {
            try job(view.wholeRange) { start, _ in
                _ = counter.next()
                return UInt(bitPattern: start) == bad ? -code : 0
            }.run(threads: 1, shouldStop: { false }, progress: { #expect($0 < 1) })
        }
        #expect(counter.count == 2)
    }

    @Test func otherErrorsNameTheCall() {
        let failure = #expect(throws: PrefaultFailure.self) {
            try job(view.wholeRange) { _, _ in -EINVAL }
                .run(threads: 2, shouldStop: { false }, progress: { _ in })
        }
        #expect(failure?.description.contains("MADV_POPULATE_WRITE") == true)
        #expect(failure?.description.contains("Linux 5.14") == true)
    }

    @Test func memoryThatIsNotThereIsNoCrash() throws {
        #expect(ftruncate(view.mapping.fileDescriptor, 32 * 4096) == 0)
        #expect(throws: PrefaultFailure.noMemory(view.wholeRange)) {
            try view.prefault(view.wholeRange, threads: 2)
        }
    }
}

private final class Counter: Sendable {
    private let calls = Atomic<Int>(0)
    var count: Int { calls.load(ordering: .relaxed) }
    func next() -> Int { calls.wrappingAdd(1, ordering: .relaxed).newValue }
}
