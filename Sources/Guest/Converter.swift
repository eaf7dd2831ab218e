import GuestMemory
import Linux
import Statistics

/// The guest's other half: a vCPU that converts pages, `rate` times a second, whatever the devices do.
///
/// An open loop: each conversion has a time at which it is due, and what comes late counts as late. At an infinite
/// rate a closed one: each is due when the one before has been answered. It leaves the guest as it was: a page that was
/// taken from its home state goes back with the next conversion.
public struct Converter: Sendable {
    /// Which pages: shared ones of the DMA buffers, private ones elsewhere, or one of each by turns of a coin.
    public enum Place: String, CaseIterable, Sendable {
        case inside, outside, mixed
    }

    private let map: MemoryMap
    private let pages: UInt64
    private let place: Place
    private let interval: Double
    private var random: SplitMix64

    /// A converter of `rate` conversions a second, infinity for one after the other, of `pages` pages each. They start
    /// at a multiple of their number: of guest memory outside the buffers, of a buffer's range inside.
    public init(map: MemoryMap, rate: Double, pages: PageCount, place: Place, seed: UInt64) {
        precondition(rate > 0, "a converter at rate \(rate)")
        self.map = map
        self.pages = pages.rawValue
        self.place = place
        interval = 1e9 / rate
        random = SplitMix64(seed: seed)
    }

    /// Whether the guest has a place for conversions of that many pages.
    public static func fits(_ pages: PageCount, place: Place, in map: MemoryMap) -> Bool {
        let inside = pages.rawValue <= map.buffers[0].pagesPerRange
        let outside = 2 * pages.rawValue <= map.free.count.rawValue
        switch place {
        case .inside: return inside
        case .outside: return outside
        case .mixed: return inside && outside
        }
    }

    /// Converts from now on until `shouldStop`, and puts back what is away from home then.
    public mutating func run(through hypercalls: some Hypercalls, shouldStop: () -> Bool) {
        let start = monotonicNanoseconds()
        var count = 0.0
        var away: (range: PageRange, homeIsPrivate: Bool)?
        var turns = Backoff()
        while true {
            count += 1
            // A closed loop gives the processor away now and then: the guest's driver may have to share it.
            if interval == 0 { turns.pause() }
            let due = interval > 0 ? start + UInt64(count * interval) : monotonicNanoseconds()
            guard Self.wait(until: due, unless: shouldStop) else { break }
            if let out = away {
                let answer = hypercalls.changePageState(
                    out.range, toPrivate: out.homeIsPrivate, due: due)
                switch answer {
                case .done: away = nil
                case .takenBack:
                    Self.putBack(out.range, toPrivate: out.homeIsPrivate, through: hypercalls)
                    away = nil
                case .pinned, .refused: break
                }
            } else {
                let (range, isPrivate) = pick()
                let answer = hypercalls.changePageState(range, toPrivate: !isPrivate, due: due)
                if answer == .done { away = (range, isPrivate) }
            }
        }
        if let away {
            _ = hypercalls.changePageState(
                away.range, toPrivate: away.homeIsPrivate, due: monotonicNanoseconds())
        }
    }

    /// Page by page, since some are back already: those are refused.
    private static func putBack(
        _ range: PageRange, toPrivate: Bool, through hypercalls: some Hypercalls
    ) {
        for page in range.lower..<range.upper {
            _ = hypercalls.changePageState(
                PageRange(start: page, count: 1), toPrivate: toPrivate,
                due: monotonicNanoseconds())
        }
    }

    /// A run of pages and whether they are private when at home.
    private mutating func pick() -> (PageRange, Bool) {
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

    /// Sleeps until shortly before `due`, then yields until it has come: a sleep alone ends tens of microseconds late,
    /// and that would be taken for the strategy's latency. False where it should stop.
    private static func wait(until due: UInt64, unless shouldStop: () -> Bool) -> Bool {
        let spin: UInt64 = 100_000
        let longest: UInt64 = 20_000_000
        var backoff = Backoff()
        while true {
            if shouldStop() { return false }
            let now = monotonicNanoseconds()
            if now >= due { return true }
            if due - now > spin {
                sleep(until: Deadline(nanoseconds: min(due - spin, now + longest)))
            } else {
                backoff.pause()
            }
        }
    }
}
