import DmaLinux
import GuestMemory
import PinLock
import Synchronization
import Telemetry
import Testing

@testable import Guest
@testable import Hypervisor

/// Whether the times of a conversion are those of what they are said to be: a stall that is put somewhere shows there,
/// and nowhere else.
@Suite struct InstrumentTests {
    private static let stallNanoseconds: UInt64 = 1_000_000

    /// So many conversions of a vCPU that also runs `other`, under a strategy; its log.
    private func log(
        _ strategy: any PinStrategy.Type, conversions: UInt64, beside other: any GuestProgram
    ) throws -> (log: ConversionLog, vcpu: VCPU) {
        let host = try Host(isAwake: false)
        let (handler, _) = try host.handler(strategy)
        let map = try MemoryMap(
            devices: 1, pagesPerRange: PageCount(1), rangeCount: 1, misalignment: PageCount(0),
            total: nil)
        let control = TurnControl(
            TurnControl.Limits(
                operations: .max, isExact: false, shortest: 0, longest: .max, warmUp: 0), devices: 1
        )
        control.noteSettled()
        #expect(control.mayMeasure(Host.clock.now()))
        let converter = Converter(
            map: map, rate: 5000, pages: PageCount(1), place: .outside, seed: 1,
            clock: Host.clock,
            hypercalls: Folding(handler, pages: Host.pages.rawValue, until: conversions, control),
            control: control)
        let vcpu = VCPU([other, converter], clock: Host.clock, control: control, idling: .poll)
        vcpu.run()
        return (handler.takeLog(), vcpu)
    }

    /// A program that takes its vCPU for a while in each step, as a driver does whose processor is taken away.
    private final class Staller: GuestProgram {
        let nanoseconds: UInt64
        var left: Int

        init(_ nanoseconds: UInt64, times: Int) {
            self.nanoseconds = nanoseconds
            left = times
        }

        func step(_ moment: Moment) -> ProgramStep {
            guard left > 0 else { return .done }
            left -= 1
            stall(nanoseconds)
            return .worked
        }
    }

    @Test func aStallOfAnotherProgramShowsFromDueAndNotInTheCall() throws {
        let (log, vcpu) = try log(
            RangeTree.self, conversions: 60, beside: Staller(Self.stallNanoseconds, times: 1000))
        let (due, call) = (log.latency.percentile(50)!, log.call.percentile(50)!)
        // On average half a stall away, and each of them late for those before it.
        #expect(due >= Self.stallNanoseconds / 4)
        #expect(call < Self.stallNanoseconds / 4)
        // Each of those gaps is seen, and marks what it met.
        #expect(vcpu.interference.gaps >= 50)
        #expect(log.undisturbed.count < log.done / 2)
    }

    @Test func aStallOfASearchShowsInBoth() throws {
        let (log, _) = try log(
            StallsInASearch.self, conversions: 20, beside: Staller(0, times: 1))
        // Every other one is to private, and searches.
        #expect(log.latency.percentile(75)! >= Self.stallNanoseconds)
        #expect(log.call.percentile(75)! >= Self.stallNanoseconds)
    }

    /// What the oracle takes is in a figure of its own, and in no other.
    @Test func aStallOfTheChecksIsSubtracted() throws {
        let host = try Host()
        let (handler, _) = try host.handler(None.self)
        host.oracle.arm([range(0..<64)])
        for index in 0..<40 as Range<UInt64> {
            #expect(handler.ask(range(0..<64), toPrivate: index % 2 == 1) == .done)
        }
        let log = handler.takeLog()
        // Each stamps or checks 64 pages, which takes microseconds; the rest is some tens of nanoseconds a page.
        #expect(log.checking / Double(log.done) >= 1000)
        #expect(log.call.percentile(50)! < UInt64(log.checking / Double(log.done)) * 4)
    }

    @Test func aDenialIsTimed() throws {
        let (handler, strategy) = try Host().handler()
        _ = handler.ask(range(0..<8), toPrivate: false)
        let pinner = strategy.pinner(for: DeviceID(0))
        let pin = try pinner.pin(page(3))
        for _ in 0..<5 { #expect(handler.ask(page(3), toPrivate: true) == .pinned(GFN(3))) }
        pinner.unpin(pin)
        let log = handler.takeLog()
        #expect(log.denied == 5 && log.busy == 0 && log.deniedCall.count == 5)
    }

    /// A conversion that is pending is answered by a later look, and what was due is counted from then.
    @Test func aPendingConversionIsAnsweredLater() throws {
        let (handler, strategy) = try Host().handler(policy: .wait, patience: 60_000_000_000)
        _ = handler.ask(range(0..<8), toPrivate: false)
        _ = handler.takeLog()
        let pinner = strategy.pinner(for: DeviceID(0))
        let pin = try pinner.pin(page(3))
        #expect(handler.begin(page(3), toPrivate: true) == nil)
        for _ in 0..<10 { #expect(handler.poll() == nil) }
        stall(Self.stallNanoseconds)
        pinner.unpin(pin)
        #expect(handler.poll() == .done)
        let log = handler.takeLog()
        #expect(log.done == 1 && log.waited == 1)
        #expect(log.latency.maximum! >= Self.stallNanoseconds)
        #expect(log.call.maximum! >= Self.stallNanoseconds)
        #expect(log.longestWait! >= Self.stallNanoseconds)
    }

    /// Each conversion is timed from its own begin, whatever came before it.
    @Test func aConversionIsTimedFromItsOwnBegin() throws {
        let (handler, _) = try Host().handler()
        _ = handler.ask(range(0..<8), toPrivate: false)
        _ = handler.takeLog()
        stall(Self.stallNanoseconds)
        let before = monotonicNanoseconds()
        #expect(handler.begin(page(3), toPrivate: true) == .done)
        let most = monotonicNanoseconds() - before + Self.stallNanoseconds / 2
        let log = handler.takeLog()
        #expect(log.latency.maximum! < most && log.call.maximum! < most)
    }

    /// Once it is answered there is none under way: nothing is left to be given up.
    @Test func whatIsAnsweredCannotBeAbandoned() throws {
        let (handler, strategy) = try Host().handler(policy: .wait, patience: 200_000_000)
        _ = handler.ask(range(0..<8), toPrivate: false)
        let pinner = strategy.pinner(for: DeviceID(0))
        var pin = try pinner.pin(page(3))
        for isRefused in [true, false] {
            #expect(handler.begin(page(3), toPrivate: true) == nil)
            if !isRefused { pinner.unpin(pin) }
            var answer: PageStateChange?
            while answer == nil {
                handler.sleep(until: .after(milliseconds: 1))
                answer = handler.poll()
            }
            #expect(answer == (isRefused ? .pinned(GFN(3)) : .done))
            handler.abandon()
            #expect(try strategy.audit() == nil)
            #expect(strategy.arena.table.state(of: GFN(3)) == (isRefused ? .shared : .private))
            #expect(strategy.arena.table.isOpen(GFN(3)) == isRefused)
        }
        #expect(handler.ask(page(3), toPrivate: false) == .done)
        pin = try pinner.pin(page(3))
        pinner.unpin(pin)
    }

    /// While nothing is let go there is nothing to see.
    @Test func whoWaitsSleepsThatLong() throws {
        let (handler, strategy) = try Host().handler(policy: .wait, patience: 60_000_000_000)
        _ = handler.ask(range(0..<8), toPrivate: false)
        let pinner = strategy.pinner(for: DeviceID(0))
        let pin = try pinner.pin(page(3))
        #expect(handler.begin(page(3), toPrivate: true) == nil)
        let limit = Deadline.after(milliseconds: 20)
        // A signal may end a sleep early, not one after the other.
        for _ in 0..<20 where !limit.hasPassed { handler.sleep(until: limit) }
        #expect(limit.hasPassed)
        pinner.unpin(pin)
        #expect(handler.poll() == .done)
    }

    @Test func whatIsAbandonedIsNoConversion() throws {
        let (handler, strategy) = try Host().handler(policy: .wait, patience: 60_000_000_000)
        _ = handler.ask(range(0..<8), toPrivate: false)
        _ = handler.takeLog()
        let pin = try strategy.pinner(for: DeviceID(0)).pin(page(3))
        #expect(handler.begin(page(3), toPrivate: true) == nil)
        handler.abandon()
        let log = handler.takeLog()
        #expect(log.done == 0 && log.denied == 0 && log.longestWait != nil)
        #expect(strategy.arena.table.isOpen(pin.range.start))
    }
}

private func stall(_ nanoseconds: UInt64) {
    let end = Deadline.after(nanoseconds: nanoseconds)
    while !end.hasPassed {}
}

/// Asks for pages of a small guest, whatever the converter picks in its large one; ends the turn after so many answers.
private final class Folding: Hypercalls {
    private let handler: PSCHandler
    private let pages: UInt64
    private var left: UInt64
    private let control: TurnControl

    init(_ handler: PSCHandler, pages: UInt64, until count: UInt64, _ control: TurnControl) {
        self.handler = handler
        self.pages = pages
        left = count
        self.control = control
    }

    func begin(
        _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
    ) -> PageStateChange? {
        left -= 1
        if left == 0 { control.end() }
        return handler.begin(
            PageRange(start: range.lower % pages, count: 1), toPrivate: toPrivate, due: due,
            at: moment)
    }
    func poll(at moment: Moment) -> PageStateChange? { handler.poll(at: moment) }
    func abandon() { handler.abandon() }
    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        .done
    }
}

/// A range tree whose search takes a millisecond.
private struct StallsInASearch: PinStrategy {
    static var info: StrategyInfo { RangeTree.info }
    static func sectionByteCount(pages: PageCount) -> Int {
        RangeTree.sectionByteCount(pages: pages)
    }
    static func metadataByteCount(pages: PageCount) -> Int { 0 }
    private let tree: RangeTree
    var arena: Arena { tree.arena }

    init(arena: Arena) { tree = RangeTree(arena: arena) }

    func pinner(for device: DeviceID) -> RangeTree.Device { tree.pinner(for: device) }
    func close(_ range: PageRange) { tree.close(range) }
    func open(_ range: PageRange) { tree.open(range) }
    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        stall(1_000_000)
        return tree.search(range, within: nanoseconds)
    }
    func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
        try tree.recover(device, until: deadline)
    }
    func audit() throws(SystemError) -> String? { try tree.audit() }
}
