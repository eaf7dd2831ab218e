import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization

@testable import PinLock

/// What `epoch` stands on, round by round, on its own words of an arena and step by step as it goes: a device writes
/// its entry and looks at the tree; a converter closes there, issues the barrier, and looks at the entry.
///
/// Both may see the other, or one of them; that neither does (store buffering) is what the barrier forbids. The
/// steps stand close together here, since a store leaves its buffer within less than a microsecond.
final class StoreBuffering {
    private let arena: Arena
    private let hasBarrier: Bool
    private let entry: UnsafeMutablePointer<Atomic<UInt64>>
    private let root: UnsafeMutablePointer<Atomic<UInt64>>
    // Looked up once: a global's first use would stand between the steps.
    private let (free, held) = (Journal.State.free.rawValue, Journal.State.held.rawValue)
    private let open = CountedTree.Lanes.open
    private let round = Atomic(0)
    private let ready = Atomic(0)
    private let deviceFinished = Atomic(0)
    private let foundOpen = Atomic(false)
    private let contended = ContendedLines()

    init(hasBarrier: Bool) throws {
        self.hasBarrier = hasBarrier
        arena = try Arena.create(pages: PageCount(pagesPerGiB), entrySize: .small)
        entry = arena.journal(of: DeviceID(0)).entry(0).state
        var words: [UnsafeMutablePointer<Atomic<UInt64>>] = []
        _ = ForestCover(arena: arena).forEachWord(range(0..<pagesPerGiB)) { counted in
            words.append(counted.word)
            return true
        }
        root = words[0]
        try ProcessBarrier.register()
    }

    /// Plays until neither saw the other, at most `limit` rounds, or until the deadline; the round where it came to
    /// that.
    func firstFailure(within limit: Int, until deadline: Deadline = .never) throws -> Int? {
        let failure = Counter()
        try inParallel([
            { self.playDevice() },
            {
                var random = SplitMix64(seed: 1)
                for number in 1...limit {
                    if failure.value != 0 || deadline.hasPassed { break }
                    if self.playConverter(number, &random) { failure.add(number) }
                }
                self.round.store(-1, ordering: .releasing)
            },
        ])
        return failure.value == 0 ? nil : failure.value
    }

    private func playDevice() {
        var random = SplitMix64(seed: 2)
        var number = 1
        while true {
            waitUntil { round.load(ordering: .acquiring) != number - 1 }
            guard round.load(ordering: .acquiring) == number else { return }
            ready.store(number, ordering: .releasing)
            pause(&random, upTo: 64)
            contended.write(UInt64(number))
            entry.pointee.store(held, ordering: .releasing)
            let old = root.pointee.load(ordering: .acquiring)
            foundOpen.store(old & open != 0, ordering: .relaxed)
            deviceFinished.store(number, ordering: .releasing)
            number += 1
        }
    }

    /// Returns whether neither saw the other.
    private func playConverter(_ number: Int, _ random: inout SplitMix64) -> Bool {
        root.pointee.store(open, ordering: .relaxed)
        entry.pointee.store(free, ordering: .relaxed)
        contended.write(UInt64(number))
        round.store(number, ordering: .releasing)
        waitUntil { ready.load(ordering: .acquiring) == number }
        pause(&random, upTo: 48)
        root.pointee.bitwiseAnd(~open, ordering: .acquiringAndReleasing)
        if hasBarrier { try? ProcessBarrier.issue() }
        let found = entry.pointee.load(ordering: .acquiring)
        waitUntil { deviceFinished.load(ordering: .acquiring) == number }
        return found == free && foundOpen.load(ordering: .relaxed)
    }

    private func pause(_ random: inout SplitMix64, upTo limit: Int) {
        var backoff = Backoff()
        for _ in 0..<Int.random(in: 0..<limit, using: &random) { backoff.pause() }
    }
}

// Pointers to atomics in the arena, which it keeps.
extension StoreBuffering: @unchecked Sendable {}

/// Cache lines that both sides write: the stores that follow wait in the store buffer until they are here.
private final class ContendedLines {
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        words = .allocate(capacity: 48)
        for index in 0..<48 { (words + index).initialize(to: Atomic(0)) }
    }

    deinit { words.deallocate() }

    /// Written out: a loop is slow without the optimiser, and its own stores fill the buffer.
    @inline(__always)
    func write(_ value: UInt64) {
        words[0].store(value, ordering: .relaxed)
        words[8].store(value, ordering: .relaxed)
        words[16].store(value, ordering: .relaxed)
        words[24].store(value, ordering: .relaxed)
        words[32].store(value, ordering: .relaxed)
        words[40].store(value, ordering: .relaxed)
    }
}

// The words are atomics, and last as long as the lines.
extension ContendedLines: @unchecked Sendable {}
