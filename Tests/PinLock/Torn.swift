import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A strategy that counts its pins, so that a device which dies leaves counts behind.
protocol CountingStrategy: PinStrategy {
    associatedtype Cover: CountedCover
    static func cover(_ arena: Arena) -> Cover
}

extension PerPage: CountingStrategy {
    static func cover(_ arena: Arena) -> EntryCover { EntryCover(arena: arena) }
}
extension PerPageSWAR: CountingStrategy {
    static func cover(_ arena: Arena) -> LaneCover { LaneCover(arena: arena) }
}
extension RangeTree: CountingStrategy {
    static func cover(_ arena: Arena) -> ForestCover { ForestCover(arena: arena) }
}
/// Where its slots are full.
extension Slots: CountingStrategy {
    static func cover(_ arena: Arena) -> ForestCover { ForestCover(arena: arena) }
}
extension LongLived: CountingStrategy {
    static func cover(_ arena: Arena) -> ForestCover { ForestCover(arena: arena) }
}
extension PinCache: CountingStrategy {
    static func cover(_ arena: Arena) -> ForestCover { ForestCover(arena: arena) }
}

extension PinStrategy {
    /// Whether a pin visits every page of its range, so that long ones take long.
    static var isPagewise: Bool {
        func cover<Strategy: CountingStrategy>(_: Strategy.Type) -> Bool {
            Strategy.Cover.isPagewise
        }
        return (self as? any CountingStrategy.Type).map { cover($0) } ?? false
    }
}
extension Bounce: CountingStrategy {
    static func cover(_ arena: Arena) -> ForestCover { ForestCover(arena: arena) }
}

/// A counting strategy of the registry, as an argument of a test.
struct CountingCandidate: Sendable, CustomTestStringConvertible {
    let type: any CountingStrategy.Type

    var testDescription: String { type.info.name }

    static let all = Registry.all.compactMap { $0 as? any CountingStrategy.Type }
        .map(CountingCandidate.init)
}

/// Where in a pin or an unpin a device may die.
struct Tear: CustomStringConvertible {
    let state: Journal.State
    /// Which of the pin's words are counted in: the first ones while it is taken, the last ones while it is given back.
    let counted: Range<Int>

    var description: String { "\(state) with words \(counted)" }

    /// Not torn: all counts are in place.
    static let held = Tear(state: .held, counted: 0..<Int.max)

    /// Every place in a pin of `words` words: before, between and after its atomic operations.
    static func everywhere(words: Int) -> [Tear] {
        (0...words).flatMap {
            [
                Tear(state: .intent, counted: 0..<$0),
                Tear(state: .releasing, counted: $0..<words),
            ]
        }
    }
}

extension CountedWord {
    /// The first word of a range.
    init?(first cover: some CountedCover, _ range: PageRange) {
        var first: CountedWord?
        _ = cover.forEachWord(range) { counted in
            first = counted
            return false
        }
        guard let first else { return nil }
        self = first
    }
}

extension CountingStrategy {
    /// How many words a pin of the ranges counts in.
    func wordCount(of ranges: PageRange...) -> Int { wordCount(of: ranges) }

    func wordCount(of ranges: [PageRange]) -> Int {
        var words = 0
        for range in ranges {
            _ = Self.cover(arena).forEachWord(range) { _ in
                words += 1
                return true
            }
        }
        return words
    }

    /// Leaves what a device leaves that dies there: a journal entry, written by hand, and counts.
    func tear(_ tear: Tear, _ ranges: PageRange..., of device: DeviceID) {
        self.tear(tear, ranges, of: device)
    }

    func tear(_ tear: Tear, _ ranges: [PageRange], of device: DeviceID) {
        let journal = arena.journal(of: device)
        let index = Int(journal.highWater.pointee.load(ordering: .relaxed))
        journal.highWater.pointee.store(UInt64(index + 1), ordering: .relaxed)
        let entry = journal.entry(index)
        entry.range.pointee.store(
            ranges.count == 1
                ? Journal.pack(ranges[0]) : Journal.reference(to: 0, count: ranges.count),
            ordering: .relaxed)
        if ranges.count > 1 {
            for (place, range) in ranges.enumerated() {
                journal.list(0)[place].store(Journal.pack(range), ordering: .relaxed)
            }
        }
        entry.state.pointee.store(4 | tear.state.rawValue, ordering: .sequentiallyConsistent)
        var word = 0
        for range in ranges {
            _ = Self.cover(arena).forEachWord(range) { counted in
                if tear.counted.contains(word) {
                    counted.word.pointee.wrappingAdd(counted.addend, ordering: .relaxed)
                }
                word += 1
                return true
            }
        }
    }
}
