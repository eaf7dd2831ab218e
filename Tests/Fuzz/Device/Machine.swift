import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import Oracle
import PinLock
import Settings
import Telemetry

@testable import Hypervisor
@testable import Virtqueue
@testable import VirtualDevice

/// A guest's hypervisor and its virtual device, in one process and on one thread, with what they promise checked at
/// every step.
final class Machine {
    static let pages: UInt64 = 64
    static let layout = try! VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
    static let area = layout.area(at: GFN(20))
    /// Registered by the device before it serves.
    private static let buffer = PageRange(start: 8, count: 4)

    private static let strategies = Registry.all.filter {
        $0.info.isSafe && $0.info.promisesByPins
            && $0.unavailability(pinning: PageCount(pages)) == nil
    }
    // All of it is one thread's.
    private nonisolated(unsafe) static let host = Host()

    /// Inputs so far. An audit looks at a whole GiB, and takes as long as many an input: the first has one, so that
    /// what is found is found again, and then some.
    private nonisolated(unsafe) static var ended = 0

    let guestView = host.guestView
    /// What the guest has been told of each page.
    private(set) var isShared = [Bool](repeating: false, count: Int(pages))

    private let strategy: any PinStrategy
    private let handler: PSCHandler
    private let oracle: PrivatePageOracle
    private let pinner: WatchedPinner
    private let loopOptions: (sleeps: Bool, chunk: UInt64)
    private var loop: Loop?

    /// Options: in the lowest two bits the policy, then whether RMP entries are of 2 MiB, whether the guest frees what
    /// it takes from the devices, whether the device sleeps; in the upper three the pages of a chunk, zero for all.
    init(strategy number: UInt8, options: UInt8) {
        let (host, policies) = (Self.host, ConflictPolicy.Kind.allCases)
        try! host.ledger.zero()
        let type = Self.strategies[Int(number) % Self.strategies.count]
        let arena = try! host.arena.reset(
            pages: PageCount(Self.pages), entrySize: options & 4 != 0 ? .large : .small)
        strategy = type.init(arena: arena)
        let ledger = ConversionLedger(host.ledger, pages: PageCount(Self.pages))
        let frees = options & 8 != 0
        oracle = PrivatePageOracle(
            view: host.guestView, ledger: ledger, isAwake: true, frees: frees)
        let memory = PrivateMemory(
            shared: host.guestView, frames: host.guestView, frees: frees)
        let effects: [(any PageStateEffect)?] = [memory, oracle]
        pinner = WatchedPinner(strategy.pinner(for: DeviceID(0)), host.deviceView)
        handler = PSCHandler(
            PSCHost(
                strategy: strategy, policy: policies[Int(options & 3) % policies.count],
                timeout: 0, effects: PageStateEffects(effects.compactMap(\.self)),
                takenBack: TakenBackPages(), clock: host.clock, wakeDevices: { guestMoves() }))
        let chunk = UInt64(options >> 5)
        loopOptions = (options & 16 != 0, chunk == 0 ? PageRange.frameLimit : chunk)
    }

    private var queuePin: Pin?

    /// The guest shares its queue and its buffer, the device pins and registers them.
    func start() {
        for range in [Self.area, Self.buffer] { convert(range, toPrivate: false) }
        oracle.arm((0..<Self.pages).filter { !isShared[Int($0)] }.map(page))
        queuePin = try! pinner.pin(Self.area)
        pinner.isServing = true
        try! pinner.register([Self.buffer])
        resetDevice()
    }

    func resetDevice() { loop = Loop(makeLoop()) }

    private func makeLoop() -> RequestLoop {
        let host = Self.host
        var settings = TurnSettings()
        settings.chunk = PageCount(loopOptions.chunk)
        var setup = TurnSetup(
            settings, rings: Self.layout.rings(at: Self.area.start), queueArea: Self.area,
            scale: host.clock.scale)
        setup.buffer = ScatterShape(
            start: GFN(0), pagesPerRange: PageCount(PageRange.frameLimit), rangeCount: 1)
        setup.guestPages = PageCount(Self.pages)
        setup.streamsSamples = true
        return try! RequestLoop(
            DeviceTurn(
                device: DeviceID(0), setup: setup, view: host.deviceView,
                ledger: ConversionLedger(host.ledger, pages: PageCount(Self.pages)),
                clock: host.clock, telemetry: host.telemetry),
            pinner: pinner,
            mover: DataMover(
                writer: host.writer,
                faults: FaultRecovery(
                    policy: nil, table: strategy.arena.table, hypervisor: -1, timeout: 0)),
            notifications: Notifications(
                sleeps: loopOptions.sleeps, calls: loopOptions.sleeps, kick: try! .event(),
                call: try! .event()))
    }

    /// Until there is nothing to do; why the queue is broken, where it is.
    func runDevice() -> BrokenQueue? {
        let broken = loop!.loop.run()
        precondition(pinner.held.isEmpty, "\(pinner.held) are pinned between requests")
        Self.host.drainSamples { sample in
            precondition(sample.stalePages == 0, "\(sample.stalePages) pages converted under a pin")
        }
        return broken
    }

    // MARK: Page state changes

    /// What the guest asks for with these numbers, whatever they are; the answer is checked, and remembered.
    func changePageState(start: UInt64, count: UInt64, toPrivate: Bool, due: UInt64) {
        guard let range = PageRange(checkingStart: start, count: count) else { return }
        let answer = handler.changePageState(range, toPrivate: toPrivate, due: due)
        let isInside = range.upper <= Self.pages
        switch answer {
        case .done:
            precondition(isInside, "\(range) is outside, and was converted")
            for page in range.lower..<range.upper {
                precondition(isShared[Int(page)] == toPrivate, "\(GFN(page)) was converted twice")
                isShared[Int(page)] = !toPrivate
            }
            if toPrivate { expectUnpinned(range) }
        case .pinned(let gfn):
            let holders = pinner.held + [Self.area, Self.buffer]
            precondition(
                toPrivate && isInside && holders.contains { $0.contains(gfn) },
                "\(gfn) is not pinned, and kept \(range) from being converted")
        case .refused(let gfn):
            let isRight = gfn.rawValue < Self.pages && isShared[Int(gfn.rawValue)] != toPrivate
            precondition(!isInside || isRight, "\(range) was refused for \(gfn)")
        case .takenBack(let gfn):
            fatalError("\(gfn) was taken back, and nobody took it")
        }
    }

    private func expectUnpinned(_ range: PageRange) {
        for held in pinner.held + [Self.area] {
            precondition(!held.overlaps(range), "\(range) is private, and \(held) is pinned")
        }
    }

    private func convert(_ range: PageRange, toPrivate: Bool) {
        changePageState(
            start: range.lower, count: range.count.rawValue, toPrivate: toPrivate, due: 0)
        for page in range.lower..<range.upper {
            precondition(isShared[Int(page)] != toPrivate, "\(range) could not be converted")
        }
    }

    private func page(_ number: UInt64) -> PageRange { PageRange(start: number, count: 1) }

    // MARK: The end

    /// What the guest did is over: a driver in its right mind is served, and then nothing is left behind.
    func end() {
        guestMoves = {}
        serveDriver()
        loop = nil
        pinner.unregister()
        pinner.isServing = false
        pinner.unpin(queuePin!)
        let left = strategy.arena.livePins
        precondition(left == 0, "\(left) pins are left")
        Self.ended += 1
        if Self.ended % 64 == 1 {
            let complaint = try! strategy.audit()
            precondition(complaint == nil, complaint!)
        }
        let table = strategy.arena.table
        for page in 0..<Self.pages {
            let state: PageState = isShared[Int(page)] ? .shared : .private
            precondition(table.state(of: GFN(page)) == state, "\(GFN(page)) is not \(state)")
        }
        oracle.checkPrivatePages(table, except: [])
        precondition(oracle.violations == 0, oracle.report!)
    }

    private func serveDriver() {
        let generation: UInt64 = 0x5EED_F00D
        let (whole, data) = (PageRange(start: 40, count: 4), [42, 40].map(page))
        for page in whole.lower..<whole.upper where !isShared[Int(page)] {
            convert(self.page(page), toPrivate: false)
        }
        var driver = DriverQueue(Self.layout, at: Self.area.start, in: guestView)
        resetDevice()
        try! driver.submit(data: data, generation: generation)
        precondition(runDevice() == nil, "the queue is broken for a driver in its right mind")
        let completion = try! driver.poll()
        precondition(
            completion?.status == .ok && completion?.usedLength == UInt32(2 * pageSize) + 1,
            "\(completion, default: "no answer") to a well-formed request")
        for range in data {
            let missing = Verification.missingLines(
                in: UnsafeRawBufferPointer(guestView.bytes(of: range)),
                expected: Stamp(device: 0, generation: generation), engine: .nt,
                coverage: .everyLine)
            precondition(missing == 0, "\(missing) lines of \(range) were not written")
        }
        convert(whole, toPrivate: true)
    }
}

/// A loop that is not copyable, in a place that is.
private final class Loop {
    var loop: RequestLoop

    init(_ loop: consuming RequestLoop) { self.loop = loop }
}
