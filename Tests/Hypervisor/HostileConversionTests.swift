import Guest
import GuestMemory
import PinLock
import Testing

@testable import Hypervisor

/// Page state changes with any argument: refused for the first page that is at fault, at once, and nothing has changed.
@Suite struct HostileConversionTests {
    private static let pages = Host.pages.rawValue
    private static let extremes: [UInt64] = [
        0, 1, 2, 63, 64, 65, 511, 512, 1 << 18, 1 << 31, PageRange.frameLimit - 64,
        PageRange.frameLimit - 1, PageRange.frameLimit, 1 << 52, 1 << 63, .max - 1, .max,
    ]

    /// A guest whose first half is shared, of which a device holds one page.
    private struct Machine {
        let strategy: any PinStrategy
        let handler: PSCHandler
        let pinner: any Pinner

        init() throws {
            (handler, strategy) = try Host().handler()
            let half = range(0..<Host.pages.rawValue / 2)
            #expect(handler.ask(half, toPrivate: false) == .done)
            pinner = strategy.pinner(for: DeviceID(0))
            _ = try pinner.pin(page(7))
        }

        var states: [PageState] {
            (0..<Host.pages.rawValue).map { strategy.arena.table.state(of: GFN($0)) }
        }
    }

    /// The first wrong answer of `handler` to a range of extreme numbers; nil where there is none.
    private static func firstWrong(_ handler: some Hypercalls, _ machine: Machine) -> String? {
        let before = machine.states
        for start in extremes {
            for count in extremes {
                // What is no range cannot be asked for.
                guard let range = PageRange(checkingStart: start, count: count) else { continue }
                for toPrivate in [true, false] {
                    let answer = handler.changePageState(range, toPrivate: toPrivate, due: 0)
                    if let expected = refusal(of: range, toPrivate, before) {
                        guard answer == expected, machine.states == before else {
                            return "\(range), to private \(toPrivate): \(answer)"
                        }
                    } else {
                        guard answer == .done,
                            handler.changePageState(range, toPrivate: !toPrivate, due: 0) == .done
                        else { return "\(range), to private \(toPrivate): \(answer)" }
                    }
                }
            }
        }
        return nil
    }

    /// Nil where it is to be carried out.
    private static func refusal(
        of range: PageRange, _ toPrivate: Bool, _ states: [PageState]
    ) -> PageStateChange? {
        if range.upper > pages { return .refused(GFN(max(range.lower, pages))) }
        let wrong = (range.lower..<range.upper).first {
            (states[Int($0)] == .private) == toPrivate
        }
        if let wrong { return .refused(GFN(wrong)) }
        return toPrivate && range.contains(GFN(7)) ? .pinned(GFN(7)) : nil
    }

    @Test func anyRangeIsAnswered() throws {
        let machine = try Machine()
        #expect(Self.firstWrong(machine.handler, machine) == nil)
        #expect(try machine.strategy.audit() == nil)
    }

    /// Broken on purpose: a handler that checks no bounds, and converts what there is of the range.
    private final class Boundless: Hypercalls {
        private let handler: PSCHandler

        init(_ handler: PSCHandler) { self.handler = handler }

        func begin(
            _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
        ) -> PageStateChange? { changePageState(range, toPrivate: toPrivate, due: due) }
        func poll(at moment: Moment) -> PageStateChange? { nil }
        func abandon() {}
        func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
            let guest = PageRange(start: 0, count: Host.pages.rawValue)
            let inside = range.intersection(guest) ?? guest
            return handler.changePageState(inside, toPrivate: toPrivate, due: due)
        }
    }

    @Test func aHandlerWithoutBoundsIsCaught() throws {
        let machine = try Machine()
        #expect(Self.firstWrong(Boundless(machine.handler), machine) != nil)
    }

    /// When the guest wanted to ask is the guest's word, too.
    @Test(arguments: extremes) func anyTimeIsTaken(due: UInt64) throws {
        let machine = try Machine()
        for toPrivate in [true, false] {
            #expect(
                machine.handler.changePageState(page(3), toPrivate: toPrivate, due: due) == .done)
        }
        #expect(machine.handler.takeLog().done == 3)
    }
}
