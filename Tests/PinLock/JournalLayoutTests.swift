import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// Where a journal's words lie: in every process alike, none in another one's place.
@Suite struct JournalLayoutTests {
    private let mapping: SharedMapping
    private var base: UnsafeMutableRawPointer { mapping.base }
    private var journal: Journal { Journal(at: base, device: DeviceID(0)) }

    init() throws {
        mapping = try SharedMapping.create(name: "journal", byteCount: 4 << 20)
    }

    @Test func limits() {
        #expect(Journal.capacity == 65_536)
        #expect(Journal.rangeLimit == 1024)
        #expect(Journal.listCapacity == 64)
    }

    /// A header, the entries, what strategies keep beside them, and the lists.
    @Test func parts() {
        func offset(_ pointer: UnsafeMutableRawPointer) -> Int { pointer - base }
        #expect(offset(journal.highWater) == 0)
        #expect(offset(journal.entry(0).range) == 4096)
        #expect(offset(journal.entry(0).state) == 4096 + 8)
        #expect(offset(journal.entry(65_535).range) == 4096 + 65_535 * 16)
        #expect(offset(journal.annex(0)) == 4096 + 65_536 * 16)
        #expect(offset(journal.annex(65_535)) == 4096 + 65_536 * 16 + 65_535 * 32)
        #expect(offset(journal.list(0)) == 4096 + 65_536 * 48)
        #expect(offset(journal.list(63)) == 4096 + 65_536 * 48 + 63 * 8192)
        #expect(Journal.byteCount == 4096 + 65_536 * 48 + 64 * 8192)
        withExtendedLifetime(mapping) {}
    }

    /// Each on a line of its own, and true is one.
    @Test func header() {
        var expected: [Int: UInt64] = [:]
        func written(_ line: Int, _ value: UInt64 = 1) {
            expected[line] = value
            #expect(lines == expected)
        }
        journal.highWater.pointee.store(3, ordering: .relaxed)
        written(0, 3)
        journal.isAbandoned = true
        written(1)
        journal.isAtMutex = true
        written(2)
        journal.barrierRefusal = 7
        written(3, 7)
        journal.lives += 1
        written(4)
        journal.isWaiting = true
        written(5)
        #expect(journal.isAbandoned && journal.isAtMutex && journal.isWaiting)
        #expect(journal.barrierRefusal == 7 && journal.lives == 1)
        journal.isAbandoned = false
        journal.isAtMutex = false
        journal.isWaiting = false
        #expect(lines == [0: 3, 3: 7, 4: 1])
        #expect(!journal.isAbandoned && !journal.isAtMutex && !journal.isWaiting)
        withExtendedLifetime(mapping) {}
    }

    /// The first word of each line of the header that is not zero, by the line's number.
    private var lines: [Int: UInt64] {
        var words: [Int: UInt64] = [:]
        for line in 0..<64 {
            let word = (base + line * 64).load(as: UInt64.self)
            if word != 0 { words[line] = word }
        }
        return words
    }

    /// A range, or a list of any length in any place, is read as what was written.
    @Test func words() {
        for range in [range(0..<1), range(5..<9), PageRange(start: 0xffff_fffe, count: 1)] {
            #expect(Journal.unpack(Journal.pack(range)) == range)
            #expect(journal.ranges(Journal.pack(range)) == [range])
        }
        // The last frame alone is no list.
        #expect(journal.ranges(Journal.pack(page(0xffff_ffff))) == [page(0xffff_ffff)])
        for (list, count) in [(0, 1), (0, 2), (0, 1024), (1, 1), (63, 3), (63, 1024)] {
            let ranges = (0..<UInt64(count)).map { page(2 * $0 + UInt64(list)) }
            for (index, range) in ranges.enumerated() {
                journal.list(list)[index].store(Journal.pack(range), ordering: .relaxed)
            }
            #expect(journal.ranges(Journal.reference(to: list, count: count)) == ranges)
        }
        withExtendedLifetime(mapping) {}
    }

    /// A list's hull goes from its lowest page to its highest, in whatever order its ranges come.
    @Test func hull() throws {
        let ranges = [range(5..<7), range(1..<3), page(6)]
        let hull = try Journal.write(ranges.span, to: journal.list(3), within: PageCount(8))
        #expect(hull == range(1..<7))
        let word = Journal.reference(to: 3, count: 3)
        #expect(journal.ranges(word) == ranges)
        var met: [PageRange] = []
        #expect(
            journal.forEachRange(word) {
                met.append($0)
                return true
            })
        #expect(met == ranges)
        // Nothing is looked at behind the one that is enough.
        #expect(
            !journal.forEachRange(word) {
                met.append($0)
                return met.count < 5
            })
        #expect(met == ranges + ranges[..<2])
        withExtendedLifetime(mapping) {}
    }
}

/// The same of what devices publish.
@Suite struct PublishedLayoutTests {
    @Test func parts() throws {
        let mapping = try SharedMapping.create(name: "published", byteCount: 8 << 20)
        let published = PublishedPins(at: mapping.base)
        let base = published.slots(of: DeviceID(0))
        #expect(PublishedPins.capacity == 8)
        #expect(PublishedPins.stride == 1025)
        #expect(PublishedPins.headerByteCount == 8192)
        #expect(PublishedPins.byteCount == 8192 + 512 * 1025 * 8)
        #expect(published.slots(of: DeviceID(63)) - base == 63 * 8)
        #expect(published.numbers(of: DeviceID(63)) - base == 512 + 63 * 8)
        #expect(published.lists(of: DeviceID(63)) - base == 1024 + 63 * 8 * 1025)
        #expect(PublishedPins.header(5, 1024) == 5 << 11 | 1024)
        withExtendedLifetime(mapping) {}
    }

    /// As many ranges as the header says.
    @Test(arguments: [1, 2, 3, 1023, 1024])
    func lists(count: Int) throws {
        let mapping = try SharedMapping.create(name: "published", byteCount: 8 << 20)
        let published = PublishedPins(at: mapping.base)
        let device = DeviceID(2)
        let ranges = (0..<UInt64(count)).map { page(3 * $0 + 1) }
        let list = published.lists(of: device) + PublishedPins.stride
        if count == 1 {
            PublishedPins.write(ranges[0], to: list)
        } else {
            let hull = try PublishedPins.write(ranges.span, to: list, within: PageCount(1 << 20))
            #expect(hull == range(1..<ranges.last!.upper))
        }
        PublishedPins.publish(
            PublishedPins.header(7, count), in: published.slots(of: device)[1])
        #expect(published.ranges(of: device) == ranges)
        #expect(published.pinCount(of: device) == 1)
        #expect(published.firstPinned(in: range(0..<8000)) == GFN(1))
        #expect(published.clear(device) == 1)
        #expect(published.pinCount(of: device) == 0)
        withExtendedLifetime(mapping) {}
    }
}
