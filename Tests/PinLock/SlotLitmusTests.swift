import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A device that publishes a GiB and reads its bits, and a converter that clears them and reads the slot, over and over
/// and as nearly at once as can be: the store-buffering litmus test, on the arena's own words.
///
/// Random traffic hardly ever shows what is tested here. So the steps follow one another at once, each thread has what
/// it is going to read in its cache, and the device first stores to lines that the converter has just written: its
/// store to the slot has to wait behind them.
private final class Litmus {
    private static let lines = 2
    private static let wordsPerLine = 8

    private let arena: Arena
    private let slot: UnsafeMutablePointer<Atomic<UInt64>>
    private let root: CountedWord
    private let filler: UnsafeMutablePointer<Atomic<UInt64>>
    private let rendezvous = Rendezvous()
    private let hasPinned = Atomic(false)
    private let isLast = Atomic(false)
    /// Rounds in which both went ahead: the pin found the GiB open, the conversion no pin.
    let violations = Atomic(0)
    let rounds = Atomic(0)

    init() throws {
        let gib = range(0..<pagesPerGiB)
        arena = try make(Slots.self, pages: pagesPerGiB, sharing: gib).arena
        slot = arena.published.slots(of: DeviceID(0))
        root = try #require(CountedWord(first: ForestCover(arena: arena), gib))
        filler = .allocate(capacity: 16)
        for index in 0..<16 { (filler + index).initialize(to: Atomic(0)) }
    }

    deinit { filler.deallocate() }

    /// Until both went ahead once, that many rounds or the deadline.
    func run(
        rounds limit: Int, until deadline: Deadline,
        publish: @escaping @Sendable (borrowing Atomic<UInt64>, UInt64) -> Void
    ) throws {
        try inParallel([{ self.pin(publish) }, { self.convert(limit, deadline) }])
    }

    /// A store to each of two lines.
    @inline(__always)
    private func fill() {
        filler[0].store(1, ordering: .relaxed)
        filler[8].store(1, ordering: .relaxed)
    }

    private func pin(_ publish: (borrowing Atomic<UInt64>, UInt64) -> Void) {
        let published = PublishedPins.header(1, 1)
        let (word, open) = (root.word, root.open)
        var random = SplitMix64(seed: 1)
        var turn = 0
        repeat {
            let delay = Int.random(in: 0...20, using: &random)
            rendezvous.meet(&turn)
            _ = word.pointee.load(ordering: .relaxed)
            var backoff = Backoff()
            for _ in 0..<delay { backoff.pause() }
            fill()
            publish(slot.pointee, published)
            let bits = word.pointee.load(ordering: .sequentiallyConsistent)
            hasPinned.store(bits & open == open, ordering: .relaxed)
            rendezvous.meet(&turn)
            slot.pointee.store(0, ordering: .releasing)
        } while !isLast.load(ordering: .relaxed)
    }

    private func convert(_ limit: Int, _ deadline: Deadline) {
        let (word, open) = (root.word, root.open)
        var random = SplitMix64(seed: 2)
        var turn = 0
        var isLast = false
        repeat {
            fill()
            let round = rounds.add(1, ordering: .relaxed).newValue
            let delay = Int.random(in: 0...20, using: &random)
            rendezvous.meet(&turn)
            _ = slot.pointee.load(ordering: .relaxed)
            var backoff = Backoff()
            for _ in 0..<delay { backoff.pause() }
            word.pointee.bitwiseAnd(~open, ordering: .acquiringAndReleasing)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            let found = slot.pointee.load(ordering: .sequentiallyConsistent)
            // Here, where the device cannot be about to read it.
            isLast =
                round == limit || violations.load(ordering: .relaxed) > 0 || deadline.hasPassed
            self.isLast.store(isLast, ordering: .relaxed)
            rendezvous.meet(&turn)
            if found == 0, hasPinned.load(ordering: .relaxed) {
                violations.add(1, ordering: .relaxed)
            }
            word.pointee.bitwiseOr(open, ordering: .acquiringAndReleasing)
        } while !isLast
    }
}

// What both threads change is atomic; the rest does not change.
extension Litmus: @unchecked Sendable {}

@Suite struct SlotLitmusTests {
    /// As `Slots.Device` publishes, by the same function.
    @Test func aPinAndAConversionNeverMissEachOther() throws {
        let litmus = try Litmus()
        try litmus.run(rounds: 200_000, until: .after(milliseconds: 10_000)) {
            PublishedPins.publish($1, in: $0)
        }
        #expect(litmus.violations.load(ordering: .relaxed) == 0)
    }

    /// The control. Chance, and the processors at hand, decide when it is seen.
    @Test func publishingByAStoreIsCaught() throws {
        let litmus = try Litmus()
        try litmus.run(rounds: .max, until: .after(milliseconds: 20_000)) {
            $0.store($1, ordering: .releasing)
        }
        let rounds = litmus.rounds.load(ordering: .relaxed)
        if litmus.violations.load(ordering: .relaxed) == 0 {
            try Test.cancel(
                "not seen in \(rounds) rounds: the two threads were hardly ever at once")
        }
    }
}
