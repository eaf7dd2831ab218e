import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import Oracle
import PinLock
import Settings
import Telemetry
import Testing
import Virtqueue

@testable import VirtualDevice

/// A guest, its hypervisor and one device in a single process, so that a test sees what the device does from every
/// side.
///
/// The queue's area is shared and pinned from the start, as the device process keeps it; all else is private.
final class Bench {
    static let pages: UInt64 = 64
    /// Where a test's data may begin.
    static let firstPage: UInt64 = 16

    let strategy: any PinStrategy
    let pinner: any Pinner
    let view: GuestView
    let ledger: ConversionLedger
    let telemetry: DeviceTelemetry
    let layout: VirtqueueLayout
    let kick: EventDescriptor
    let call: EventDescriptor
    private static let clock = TickClock.calibrated()

    var arena: Arena { strategy.arena }
    /// Of the last `serve`.
    private(set) var faults = FaultTotals()
    /// What the loops of `serve` have read.
    private(set) var digest: UInt64 = 0
    private var samples: [DMASample] = []
    var queueArea: PageRange { layout.area(at: GFN(0)) }

    init(
        _ type: any PinStrategy.Type, pages: UInt64 = pages, queueSize: Int = 16,
        dataDescriptors: Int = 8
    ) throws {
        layout = try VirtqueueLayout(
            queueSize: queueSize, requests: 4, dataDescriptors: dataDescriptors)
        let guest = PageCount(pages)
        strategy = type.init(arena: try Arena.create(pages: guest, entrySize: .small))
        view = GuestView(
            try SharedMapping.create(name: "device-test", byteCount: Int(guest.bytes.rawValue)))
        ledger = ConversionLedger(
            try SharedMapping.create(
                name: "ledger-test", byteCount: ConversionLedger.byteCount(pages: guest)),
            pages: guest)
        telemetry = DeviceTelemetry(
            try SharedMapping.create(
                name: "telemetry-test", byteCount: DeviceTelemetry.byteCount))
        (kick, call) = (try EventDescriptor(), try EventDescriptor())
        pinner = strategy.pinner(for: DeviceID(0))
        try convert(queueArea, to: .shared)
        _ = try pinner.pin(queueArea)
    }

    /// Pins that the device holds besides that of its queue.
    var pinsInFlight: Int { arena.livePins - 1 }

    @discardableResult
    func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy = .deny
    ) throws -> ConversionPath {
        let hooks = ConversionHooks(
            willCommit: { [ledger] range, state in
                if state == .private { ledger.willBecomePrivate(range) }
            },
            wakeDevices: { [kick] in kick.notify() })
        return try strategy.convert(range, to: state, policy: policy, hooks: hooks)
    }

    /// How the device is set up; `chunk` in pages.
    struct Options {
        var chunk = PageRange.frameLimit
        var writes = true
        var sleeps = false
        var retryNanoseconds: UInt64 = 0
        /// What the device may hold beside its queue, in pages.
        var pinLimit: PageCount?
        /// Whether the writer survives protected pages, and what it does then.
        var expectsFaults = false
        var isProtected = false
        var faultPolicy: FaultPolicy?
        /// Called before each unpin, with the pin's pages.
        var onUnpin: (@Sendable (PageRange) -> Void)?
        /// Where a page is asked for.
        var hypervisor: Int32 = -1
    }

    /// A device that has just been told to start. The driver's side of the queue is made before it.
    func makeLoop(_ options: Options = Options()) throws -> RequestLoop {
        var settings = TurnSettings()
        settings.chunk = PageCount(options.chunk)
        var setup = TurnSetup(
            settings, rings: layout.rings(at: queueArea.start), queueArea: queueArea,
            scale: Self.clock.scale)
        setup.buffer = ScatterShape(
            start: GFN(0), pagesPerRange: PageCount(PageRange.frameLimit), rangeCount: 1)
        setup.retryNanoseconds = options.retryNanoseconds
        setup.guestPages = view.pages
        setup.isProtected = options.isProtected
        setup.streamsSamples = true
        let mover = DataMover(
            writer: options.writes ? try makeWriter(options) : nil,
            faults: FaultRecovery(
                policy: options.faultPolicy, table: arena.table, hypervisor: options.hypervisor,
                timeout: options.retryNanoseconds))
        return try RequestLoop(
            DeviceTurn(
                device: DeviceID(0), setup: setup, view: view, ledger: ledger,
                clock: Self.clock, telemetry: telemetry),
            pinner: makePinner(options),
            mover: mover,
            notifications: Notifications(
                sleeps: options.sleeps, calls: options.sleeps, kick: try kick.copy(),
                call: try call.copy()))
    }

    private func makePinner(_ options: Options) -> any Pinner {
        if let limit = options.pinLimit { return LimitedPinner(pinner, limit: limit) }
        return options.onUnpin.map { ObservedPinner(pinner, $0) } ?? pinner
    }

    private func makeWriter(_ options: Options) throws -> DmaWriter {
        try DmaWriter(engine: .nt, lanes: 1, device: 0, expectsFaults: options.expectsFaults)
    }

    func makeDriver() -> DriverQueue { DriverQueue(layout, at: GFN(0), in: view) }

    /// Serves the requests, with generations from 1, until none is left; what became of each.
    ///
    /// `tamper` changes what the driver wrote, at the start of the queue's area, before the device sees it.
    func serve(
        _ requests: [[PageRange]], _ options: Options = Options(),
        tamper: (UnsafeMutableRawPointer) -> Void = { _ in }
    ) throws -> [Answer?] {
        takeIn()
        var driver = makeDriver()
        var loop = try makeLoop(options)
        for (index, data) in requests.enumerated() {
            try driver.submit(data: data, generation: UInt64(index + 1))
        }
        tamper(view.pointer(to: queueArea))
        telemetry.shouldStop = true
        if let broken = loop.run() { throw broken }
        faults = loop.faultTotals
        digest ^= loop.mover.reader.digest
        let told = takeIn()
        var completions: [Completion] = []
        while let completion = try driver.poll() { completions.append(completion) }
        return completions.sorted { $0.generation < $1.generation }.map { completion in
            Answer(completion.status, told.first { $0.generation == completion.generation })
        }
    }

    /// The samples since the last call.
    func takeSamples() -> [DMASample] {
        takeIn()
        defer { samples = [] }
        return samples
    }

    /// Those that have come just now.
    @discardableResult
    private func takeIn() -> [DMASample] {
        let count = samples.count
        var consumer = telemetry.ring.consumer()
        consumer.drain { samples.append($0) }
        return Array(samples[count...])
    }

    // MARK: Memory

    /// Fills all pages from `firstPage` on with what no device writes.
    func fill() {
        memset(view.pointer(to: dataPages), 0xA5, Int(dataPages.count.bytes.rawValue))
    }

    var dataPages: PageRange {
        PageRange(start: Self.firstPage, count: view.pages.rawValue - Self.firstPage)
    }

    /// The pages that hold a request's stamp on every line, and those that `fill` left whole.
    func pages(writtenBy generation: UInt64) -> (written: Set<UInt64>, untouched: Set<UInt64>) {
        let stamp = Stamp(device: 0, generation: generation)
        var (written, untouched): (Set<UInt64>, Set<UInt64>) = ([], [])
        for page in dataPages.lower..<dataPages.upper {
            let bytes = view.bytes(of: PageRange(start: page, count: 1))
            if bytes.allSatisfy({ $0 == 0xA5 }) { untouched.insert(page) }
            let missing = Verification.missingLines(
                in: UnsafeRawBufferPointer(bytes), expected: stamp, engine: .nt,
                coverage: .everyLine)
            if missing == 0 { written.insert(page) }
        }
        return (written, untouched)
    }
}

// A test shares it between the device's thread and its own; what both touch is made for two processes.
extension Bench: @unchecked Sendable {}

/// An event descriptor that closures and threads share.
final class EventDescriptor: Sendable {
    private let descriptor: FileDescriptor

    init() throws { descriptor = try .event() }

    func notify() { descriptor.notify() }
    func wait() -> Bool { descriptor.waitNotified(timeoutMilliseconds: 10_000) }
    func copy() throws(SystemError) -> FileDescriptor { try .duplicate(descriptor.raw) }
}

func range(_ pages: Range<UInt64>) -> PageRange {
    PageRange(start: pages.lowerBound, count: UInt64(pages.count))
}

func page(_ number: UInt64) -> PageRange { PageRange(start: number, count: 1) }

/// A strategy of the registry, as an argument of a test.
struct Candidate: Sendable, CustomStringConvertible {
    let type: any PinStrategy.Type

    var description: String { type.info.name }

    /// Those that promise by their pins.
    static let safe = Registry.all.filter { $0.info.isSafe && $0.info.promisesByPins }.map {
        Candidate(type: $0)
    }
}

/// Goes on once `condition` holds, for what another thread is about to do; a test fails that waits for ever.
func waitUntil(
    sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
) {
    let deadline = Deadline.after(milliseconds: 60_000)
    var backoff = Backoff()
    while !condition() {
        guard !deadline.hasPassed else {
            Issue.record("waited for ever", sourceLocation: sourceLocation)
            return
        }
        backoff.pause()
    }
}

/// Tells of each unpin, just before it.
private final class ObservedPinner: Pinner {
    private let pinner: any Pinner
    private let onUnpin: (PageRange) -> Void

    init(_ pinner: any Pinner, _ onUnpin: @escaping (PageRange) -> Void) {
        self.pinner = pinner
        self.onUnpin = onUnpin
    }

    func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin { try pinner.pin(ranges) }

    func unpin(_ pin: Pin) {
        onUnpin(pin.range)
        pinner.unpin(pin)
    }
}

/// What became of a request: that it failed is what its guest is told, all else what the harness is.
struct Answer: Equatable {
    var code: RequestOutcome
    var gfn: GFN
    var bytesWritten: UInt64

    init(_ code: RequestOutcome, gfn: GFN = GFN(0), bytesWritten: UInt64 = 0) {
        self.code = code
        self.gfn = gfn
        self.bytesWritten = bytesWritten
    }

    /// Nil where the guest was told nothing; a request that is none leaves no sample.
    init?(_ status: RequestStatus?, _ sample: DMASample?) {
        guard let status else { return nil }
        guard let sample, let code = RequestOutcome(rawValue: sample.status) else {
            self.init(.badRequest)
            return
        }
        let offends = sample.status != 0 && sample.stalePages == 0
        self.init(
            code, gfn: GFN(offends ? UInt64(sample.firstGFN) : 0), bytesWritten: sample.bytes)
        #expect((status == .ok) == (code == .ok))
    }
}
