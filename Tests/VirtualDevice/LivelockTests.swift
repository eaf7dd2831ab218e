import DmaLinux
import GuestMemory
import Testing

@testable import PinLock
@testable import VirtualDevice

/// A device that tries again and a guest that converts without a pause: one may undo what the other does, but not for
/// ever. No thread and no clock: the lock's own steps, one at a time, in an order that the test lays down.
@Suite struct LivelockTests {
    /// What became of both sides in so many steps.
    private struct Outcome {
        var pins = 0
        var conversions = 0
        /// The most tries that a request took.
        var mostTries = 0
    }

    /// A pin in two halves, so that a conversion can come between: to count, and to find out whether that was right.
    private struct HalfPin {
        let pin: Pin
        let words: Int
        let isOpen: Bool

        init(_ pins: CountedPins<ForestCover>, _ range: PageRange) throws {
            pin = try pins.journal.begin(range)
            var words = 0
            isOpen = pins.cover.forEachWord(range) { counted in
                words += 1
                let old = counted.word.pointee.wrappingAdd(
                    counted.addend, ordering: .acquiring)
                return old.oldValue & counted.flags == counted.open
            }
            self.words = words
        }

        /// Holds the pin, or takes back what it counted.
        func settle(_ pins: CountedPins<ForestCover>) -> Pin? {
            guard !isOpen else {
                pins.journal.hold(pin)
                return pin
            }
            pins.cover.release(pin.range, words: words)
            pins.coordination.announceUnpin()
            pins.journal.end(pin)
            return nil
        }
    }

    /// Both sides take a step in turn. A conversion closes the page, looks for pins, and opens the page again, whether
    /// it was refused or is followed by the one back; then comes the next. A pin counts, settles, and where it holds is
    /// given back in the next step; where not, the device pauses for so many steps.
    private func meet(steps: Int, pause: () -> UInt64, startOver: () -> Void) throws -> Outcome {
        let page = PageRange(start: 5, count: 1)
        let strategy = RangeTree(
            arena: try Arena.create(pages: PageCount(16), entrySize: .small))
        _ = try strategy.convert(page, to: .shared, policy: .deny, hooks: ConversionHooks())
        let pins = CountedPins(strategy.cover, arena: strategy.arena, device: DeviceID(0))
        var outcome = Outcome()
        var (half, held): (HalfPin?, Pin?) = (nil, nil)
        var pausesLeft: UInt64 = 0
        var tries = 1
        for step in 0..<steps {
            switch step % 3 {
            case 0: strategy.close(page)
            case 1: if strategy.search(page, within: 0) == .none { outcome.conversions += 1 }
            default: strategy.open(page)
            }
            if let pin = held {
                pins.unpin(pin)
                (held, tries) = (nil, 1)
                startOver()
            } else if let counted = half {
                held = counted.settle(pins)
                half = nil
                outcome.mostTries = max(outcome.mostTries, tries)
                if held != nil {
                    outcome.pins += 1
                } else {
                    (tries, pausesLeft) = (tries + 1, pause())
                }
            } else if pausesLeft > 0 {
                pausesLeft -= 1
            } else {
                half = try HalfPin(pins, page)
            }
        }
        return outcome
    }

    /// The conversions take no pause, and may be denied for ever: that is what `deny` says. The requests are not.
    @Test func randomPausesLetEveryRequestThrough() throws {
        for seed in UInt64(1)...50 {
            var pauses = RetryPauses(seed: seed)
            let outcome = try meet(
                steps: 2000, pause: { pauses.next() }, startOver: { pauses.startOver() })
            #expect(outcome.pins >= 100 && outcome.conversions >= 1, "seed \(seed): \(outcome)")
            #expect(outcome.mostTries <= 32, "seed \(seed): \(outcome)")
        }
    }

    /// A device that always pauses for one step is always in the conversion's way, and the conversion in its.
    @Test func equalPausesAreALivelock() throws {
        let outcome = try meet(steps: 2000, pause: { 1 }, startOver: {})
        #expect(outcome.pins == 0 && outcome.conversions == 0)
        #expect(outcome.mostTries > 600)
    }

    @Test func pausesGrowToABoundAndStartOver() {
        var pauses = RetryPauses(seed: 1)
        for _ in 0..<3 {
            for bound in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256] as [UInt64] {
                #expect((1...bound).contains(pauses.next()))
            }
            pauses.startOver()
        }
        // At the bound they are spread over all of it.
        for _ in 0..<8 { _ = pauses.next() }
        let sample = Set((0..<4096).map { _ in pauses.next() })
        #expect(sample.count == 256)
    }

    @Test func devicesPauseDifferently() {
        func pauses(_ seed: UInt64) -> [UInt64] {
            var pauses = RetryPauses(seed: seed)
            return (0..<32).map { _ in pauses.next() }
        }
        #expect(Set((1...64).map(pauses)).count == 64)
    }
}
