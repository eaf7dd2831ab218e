import DmaLinux
import GuestMemory
import Oracle
import PinLock
import Telemetry
import Virtqueue

/// The pins of a request: of a list all or none, tried again while a conversion is in the way.
struct RequestPins: ~Copyable {
    private let pinner: any Pinner
    private let ledger: ConversionLedger
    private let clock: TickClock
    /// How long a list is tried again, in nanoseconds.
    private let timeout: UInt64
    private var stack: PinStack
    private var pauses: RetryPauses
    /// The longest time for which a request tried again until it had its pins or gave up, in nanoseconds.
    private(set) var longestWait: UInt64 = 0
    /// What the copies have come to that the request under way has needed.
    private var copies = Copies()
    /// What is done about private pages; nil where they are the guest's error.
    private let privatePages: PrivatePages?
    /// Lists that were tried again.
    private(set) var waits: UInt64 = 0

    /// What a device does that meets a private page, where the guest's driver knows nothing of that: it waits as for a
    /// conversion.
    struct PrivatePages {
        /// Asks for the pages of this range to be shared, where nobody ever has; nil where they all are from the start.
        var ask: ((PageRange) -> Void)?
        /// Whether to wait no more.
        var shouldStop: () -> Bool
    }

    private struct Copies {
        var ticks: UInt64 = 0
        var retries: UInt16 = 0
        var stalePages: UInt32 = 0
        var firstStale: GFN?
    }

    /// `timeout` is how long a list is tried again, in nanoseconds; `capacity` the most ranges of a request.
    init(
        _ pinner: any Pinner, of device: DeviceID, ledger: ConversionLedger, clock: TickClock,
        timeout: UInt64, capacity: Int, privatePages: PrivatePages? = nil
    ) {
        self.pinner = pinner
        self.ledger = ledger
        self.clock = clock
        self.timeout = timeout
        self.privatePages = privatePages
        stack = PinStack(capacity: capacity)
        pauses = RetryPauses(seed: UInt64(device.rawValue + 1))
    }

    func serviceRevocations() { pinner.serviceRevocations() }

    @inline(__always)
    mutating func take(_ list: Span<PageRange>, _ retries: inout UInt16) -> PinRefusal? {
        guard let refusal = tryToTake(list) else { return nil }
        guard mayPass(refusal) else { return refusal }
        return takeAfterWaiting(list, after: refusal, &retries)
    }

    /// The same for a pin that lasts: `unpin` gives it back. There are no more ranges than a pin has.
    mutating func takeToKeep(_ list: Span<PageRange>) throws(PinRefusal) -> Pin {
        if let refusal = tryToTake(list, toKeep: true) {
            guard mayPass(refusal) else { throw refusal }
            var retries: UInt16 = 0
            if let last = takeAfterWaiting(list, after: refusal, toKeep: true, &retries) {
                throw last
            }
        }
        return stack.pop()!
    }

    func unpin(_ pin: Pin) { pinner.unpin(pin) }

    /// Whether another try may have an end.
    private func mayPass(_ refusal: PinRefusal) -> Bool {
        switch refusal {
        case .converting: true
        case .privatePage: privatePages != nil
        case .tooManyPins, .outOfRange, .overLimit: false
        }
    }

    private mutating func tryToTake(_ list: Span<PageRange>, toKeep: Bool) -> PinRefusal? {
        guard toKeep else { return tryToTake(list) }
        do throws(PinRefusal) {
            stack.push(try pinner.pinToKeep(list))
            return nil
        } catch {
            return error
        }
    }

    /// Pins every range of the list, or none: with one pin, but where there are more ranges than a pin has.
    @inline(__always)
    mutating func tryToTake(_ list: Span<PageRange>) -> PinRefusal? {
        do throws(PinRefusal) {
            guard list.count > Pin.rangeLimit else {
                stack.push(try pinner.pin(list))
                return nil
            }
            var next = 0
            while next < list.count {
                let end = min(next + Pin.rangeLimit, list.count)
                stack.push(try pinner.pin(list.extracting(next..<end)))
                next = end
            }
            return nil
        } catch {
            giveBack()
            return error
        }
    }

    /// Tries again until the conversion in the way is over, or the request's deadline. An attempt counts before it is
    /// undone, and a conversion that waits takes it for a pin: the pauses are random and grow so that it gets a gap.
    @inline(never)
    private mutating func takeAfterWaiting(
        _ list: Span<PageRange>, after first: PinRefusal, toKeep: Bool = false,
        _ retries: inout UInt16
    ) -> PinRefusal? {
        let start = monotonicNanoseconds()
        waits += 1
        defer { longestWait = max(longestWait, monotonicNanoseconds() - start) }
        let deadline = Deadline.after(nanoseconds: timeout)
        var refusal = first
        pauses.startOver()
        while mayPass(refusal), !deadline.hasPassed {
            if let privatePages {
                if privatePages.shouldStop() { break }
                if case .privatePage(let page) = refusal { ask(for: page, of: list) }
            }
            pinner.serviceRevocations()
            var backoff = Backoff()
            for _ in 0..<pauses.next() { backoff.pause() }
            if retries < .max { retries += 1 }
            guard let next = tryToTake(list, toKeep: toKeep) else { return nil }
            refusal = next
        }
        return refusal
    }

    /// Asks for the ranges from the first on that has the page: those before it are shared.
    private func ask(for page: GFN, of list: Span<PageRange>) {
        guard let ask = privatePages?.ask else { return }
        for index in list.indices
        where list[index].contains(page) {
            return ask(list[index])
        }
    }

    @inline(__always)
    mutating func giveBack() {
        while let pin = stack.pop() { pinner.unpin(pin) }
    }

    // MARK: Copies

    /// Adds what was copied since the last call to a request's sample: all of it is time for pins. What requests without a
    /// sample have needed goes to the next one's.
    @inline(__always)
    mutating func addCopies(to sample: inout DMASample) {
        if copies.ticks > 0 { addSome(to: &sample) }
    }

    @inline(never)
    private mutating func addSome(to sample: inout DMASample) {
        sample.pinTicks &+= copies.ticks
        sample.retries = UInt16(clamping: Int(sample.retries) + Int(copies.retries))
        if let first = copies.firstStale {
            sample.firstGFN = UInt32(truncatingIfNeeded: first.rawValue)
            sample.stalePages = copies.stalePages
        }
        copies = Copies()
    }
}

extension RequestPins: GuestReader {
    /// Under a pin, with the look into the ledger that every access has.
    mutating func copy(
        _ source: UnsafeRawBufferPointer, in pages: PageRange, to target: UnsafeMutableRawPointer
    ) -> Bool {
        let start = clock.now()
        defer { copies.ticks &+= max(TickClock.elapsed(from: start, to: clock.now()), 1) }
        let list: InlineArray<1, PageRange> = [pages]
        var retries = copies.retries
        let refusal = take(list.span, &retries)
        copies.retries = retries
        guard refusal == nil else { return false }
        let mark = ledger.mark()
        target.copyMemory(from: source.baseAddress!, byteCount: source.count)
        if let converted = ledger.pagesConverted(in: pages, since: mark) {
            copies.firstStale = copies.firstStale ?? converted.first
            copies.stalePages &+= UInt32(clamping: converted.pages.rawValue)
        }
        giveBack()
        return true
    }
}

/// The pins of one chunk, in memory of a fixed size: what lies between two reads of the clock stays small.
struct PinStack: ~Copyable {
    private let pins: UnsafeMutableBufferPointer<Pin>
    private var count = 0

    init(capacity: Int) { pins = .allocate(capacity: capacity) }

    deinit { pins.deallocate() }

    @inline(__always)
    mutating func push(_ pin: Pin) {
        pins.initializeElement(at: count, to: pin)
        count += 1
    }

    @inline(__always)
    mutating func pop() -> Pin? {
        guard count > 0 else { return nil }
        count -= 1
        return pins[count]
    }
}
