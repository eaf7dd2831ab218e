import DmaStatistics
import GuestMemory
import Settings
import Telemetry

/// The guest's other half: it converts pages, `rate` times a second, whatever the devices do.
///
/// An open loop: each conversion has a time at which it is due, and what comes late counts as late. At an infinite
/// rate a closed one: each is due when the one before has been answered. One is under way at a time, as of a vCPU in a
/// hypercall; while it is pending, the vCPU's other programs go on. The converter leaves the guest as it was: a page
/// that was taken from its home state goes back with the next conversion, or after a time of its own.
public final class Converter: GuestProgram {
    /// Pages, and whether they are private when at home; nil where there are none for now.
    public typealias Pick = (inout SplitMix64) -> (range: PageRange, isPrivate: Bool)?

    private let pick: Pick
    /// For how long pages stay away, in ticks; nil for until the next conversion is due.
    private let hold: UInt64?
    /// Ticks between two of them; zero in a closed loop.
    private let interval: Double
    private let hypercalls: any Hypercalls
    private let control: TurnControl
    private var random: SplitMix64

    private struct Asked {
        let range: PageRange
        let toPrivate: Bool
        /// Whether it is the way home.
        let isBack: Bool
    }
    /// What has been asked for and not been answered.
    private var asked: Asked?
    private var start: UInt64?
    private var count: UInt64 = 0
    private var away: (range: PageRange, homeIsPrivate: Bool)?
    /// When they were taken.
    private var awaySince: UInt64 = 0
    private var isGoingHome = false
    /// Single pages of what is away, where the whole cannot be put back at once.
    private var toPutBack: [PageRange] = []

    /// A converter of `rate` conversions a second, infinity for one after the other, of `pages` pages each. They start
    /// at a multiple of their number: of guest memory outside the buffers, of a buffer's range inside.
    public convenience init(
        map: MemoryMap, rate: Double, pages: PageCount, place: ConversionPlace, seed: UInt64,
        clock: TickClock, hypercalls: any Hypercalls, control: TurnControl
    ) {
        let targets = Targets(map: map, pages: pages.rawValue, place: place)
        self.init(
            rate: rate, hold: nil, seed: seed, clock: clock, hypercalls: hypercalls,
            control: control, pick: targets.pick)
    }

    /// A converter of what `pick` says, which has `hold` nanoseconds of it.
    public init(
        rate: Double, hold: UInt64?, seed: UInt64, clock: TickClock, hypercalls: any Hypercalls,
        control: TurnControl, pick: @escaping Pick
    ) {
        precondition(rate > 0, "a converter at rate \(rate)")
        self.pick = pick
        self.hold = hold.map(clock.ticks(fromNanoseconds:))
        interval = 1e9 / rate / clock.nanosecondsPerTick
        random = SplitMix64(seed: seed)
        self.hypercalls = hypercalls
        self.control = control
    }

    /// Whether the guest has a place for conversions of that many pages.
    public static func fits(_ pages: PageCount, place: ConversionPlace, in map: MemoryMap) -> Bool {
        let inside = pages.rawValue <= map.buffers[0].pagesPerRange
        let outside = 2 * pages.rawValue <= map.free.count.rawValue
        switch place {
        case .inside: return inside
        case .outside: return outside
        case .mixed: return inside && outside
        }
    }

    public func step(_ moment: Moment) -> ProgramStep {
        guard control.isMeasuring || control.isOver else { return .idle(until: .max) }
        if let asked {
            guard let answer = hypercalls.poll(at: moment) else {
                // At the end of a turn it is answered soon: no device pins any more, or there is its deadline.
                guard control.isStopped else { return .idle(until: moment.now) }
                hypercalls.abandon()
                self.asked = nil
                return .workedLong
            }
            take(answer, to: asked, moment)
            return .workedLong
        }
        if control.isOver { return goHome(moment) }
        if start == nil { start = moment.now }
        let due = nextDue(moment)
        guard due <= moment.now else { return .idle(until: due) }
        if hold == nil || away == nil { count += 1 }
        if let range = toPutBack.last {
            ask(Asked(range: range, toPrivate: away!.homeIsPrivate, isBack: true), due, moment)
        } else if let away {
            ask(Asked(range: away.range, toPrivate: away.homeIsPrivate, isBack: true), due, moment)
        } else {
            guard let (range, isPrivate) = pick(&random) else { return .worked }
            ask(Asked(range: range, toPrivate: !isPrivate, isBack: false), due, moment)
        }
        return .workedLong
    }

    private func nextDue(_ moment: Moment) -> UInt64 {
        if let hold, away != nil { return awaySince &+ hold }
        return interval > 0 ? start! &+ UInt64(Double(count + 1) * interval) : moment.now
    }

    /// One more step towards the guest as it was; done where it is.
    private func goHome(_ moment: Moment) -> ProgramStep {
        guard let away else { return .done }
        isGoingHome = true
        let range = toPutBack.last ?? away.range
        ask(
            Asked(range: range, toPrivate: away.homeIsPrivate, isBack: true), moment.now, moment)
        return .workedLong
    }

    public func giveUp() {
        if asked.take() != nil { hypercalls.abandon() }
    }

    private func ask(_ question: Asked, _ due: UInt64, _ moment: Moment) {
        let answer = hypercalls.begin(
            question.range, toPrivate: question.toPrivate, due: due, at: moment)
        if let answer { take(answer, to: question, moment) } else { asked = question }
    }

    private func take(_ answer: PageStateChange, to question: Asked, _ moment: Moment) {
        asked = nil
        if !question.isBack {
            if answer == .done {
                away = (question.range, !question.toPrivate)
                awaySince = moment.now
            }
            return
        }
        if !toPutBack.isEmpty {
            // Whatever the answer: what is refused is back already.
            toPutBack.removeLast()
            if toPutBack.isEmpty { away = nil }
            return
        }
        switch answer {
        case .done: away = nil
        case .takenBack:
            // Page by page, since some are back already.
            toPutBack = (question.range.lower..<question.range.upper).reversed().map {
                PageRange(start: $0, count: 1)
            }
        // Nobody uses it any more at the end: what is pinned then stays so.
        case .pinned, .refused: if isGoingHome { away = nil }
        }
    }
}

/// Pages of a guest that the harness has laid out: shared ones of the DMA buffers, private ones elsewhere, or one of each
/// by turns of a coin.
private struct Targets {
    let map: MemoryMap
    let pages: UInt64
    let place: ConversionPlace

    func pick(_ random: inout SplitMix64) -> (range: PageRange, isPrivate: Bool)? {
        let isInside: Bool
        switch place {
        case .inside: isInside = true
        case .outside: isInside = false
        case .mixed: isInside = random.next() & 1 == 0
        }
        guard isInside else {
            // The first multiple of the size that lies in free memory, and those behind it.
            let first = (map.free.lower + pages - 1) / pages
            let slots = map.free.upper / pages - first
            return (PageRange(start: (first + random.below(slots)) * pages, count: pages), true)
        }
        let buffer = map.buffers[Int(random.below(UInt64(map.buffers.count)))]
        let slots = buffer.pagesPerRange / pages
        let page =
            random.below(buffer.rangeCount) * buffer.pagesPerRange + random.below(slots) * pages
        return (PageRange(start: buffer.page(page).rawValue, count: pages), false)
    }
}

// One vCPU thread at a time runs it.
extension Converter: @unchecked Sendable {}
