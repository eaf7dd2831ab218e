import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import Oracle
import PinLock
import Telemetry
import Virtqueue

/// What the virtual-device process does from start to end: serve turns until the hypervisor hangs up.
///
/// It is trusted but mortal: it can be killed at any instruction, and whatever it holds is then recovered by the
/// hypervisor. It dies with its parent.
public final class DeviceProcess {
    private let device: DeviceID
    private let control: ControlChannel
    private let memory: SharedMapping
    private let arena: SharedMapping
    private let ledger: SharedMapping
    private let telemetry: DeviceTelemetry
    private let processor: Int?
    /// The processors the process may use, for its lanes.
    private let everywhere: [Int]

    /// Lives in this process, bound to `processor`, until the hypervisor hangs up; returns at once where the parent has
    /// gone already.
    ///
    /// What the kernel refuses is told as the answer to a turn. Throws where not even that can be said.
    public static func run(
        device: DeviceID, parent: Int32, processor: Int?
    ) throws(SystemError) {
        let process: DeviceProcess?
        do throws(SystemError) {
            process = try DeviceProcess(device: device, parent: parent, processor: processor)
        } catch {
            let control = ControlChannel(FileDescriptor(owning: InheritedDescriptor.control))
            while try control.receive(TurnSetup.self) != nil {
                guard try control.answer(DeviceReply(.refused), text: error.description)
                else { return }
            }
            return
        }
        var failure: SystemError?
        onEvenStack {
            do throws(SystemError) { try process?.run() } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Takes over the inherited descriptors; the control socket only where all else was to be had.
    private init?(device: DeviceID, parent: Int32, processor: Int?) throws(SystemError) {
        guard try dieWithParent(expected: parent) else { return nil }
        nameThisThread("dma-device\(device.rawValue)")
        everywhere = try Processors.allowed()
        self.processor = processor
        if let processor { try Processors.bind(to: processor) }
        func map(_ number: Int32, _ name: String) throws(SystemError) -> SharedMapping {
            try SharedMapping(mapping: FileDescriptor(owning: number), name: name)
        }
        self.device = device
        memory = try map(InheritedDescriptor.guestMemory, "guest memory")
        arena = try map(InheritedDescriptor.arena, "pin arena")
        ledger = try map(InheritedDescriptor.ledger, "conversion ledger")
        telemetry = DeviceTelemetry(try map(InheritedDescriptor.telemetry, "telemetry"))
        control = ControlChannel(FileDescriptor(owning: InheritedDescriptor.control))
        try StopCounter.install()
    }

    private func run() throws(SystemError) {
        while let (setup, _) = try control.receive(TurnSetup.self) {
            var reply = DeviceReply(.done)
            var text = ""
            do throws(TurnFailure) {
                let turn = makeTurn(setup)
                let strategy = try strategy(for: turn)
                switch setup.duty {
                case .serve: try serve(strategy, turn, &reply)
                case .attack: reply.attack = try attack(strategy, turn)
                }
            } catch {
                (reply, text) = (DeviceReply(error.kind), error.description)
            }
            guard try control.answer(reply, text: text) else { return }
        }
    }

    private func makeTurn(_ setup: TurnSetup) -> DeviceTurn {
        DeviceTurn(
            device: device, setup: setup, view: GuestView(memory, pages: setup.guestPages),
            ledger: ConversionLedger(ledger, pages: setup.guestPages),
            clock: TickClock(scale: setup.scale), telemetry: telemetry)
    }

    private func strategy(for turn: DeviceTurn) throws(TurnFailure) -> any PinStrategy {
        let setup = turn.setup
        return try TurnFailure.telling {
            // What the hypervisor has touched since faults here no more; of guest memory what the device is to touch. On any
            // processor: devices that share one would do it one after the other.
            try onAnyProcessor {
                let shouldStop = { [telemetry] in telemetry.shouldStop }
                try memory.mapPopulated(
                    (setup.buffer.ranges + [setup.queueArea]).map { range in
                        let start = Int(range.start.address)
                        return start..<start + Int(range.count.bytes.rawValue)
                    }, shouldStop: shouldStop)
                try arena.mapPopulated(shouldStop: shouldStop)
                try ledger.mapPopulated(shouldStop: shouldStop)
            }
            return setup.strategy.init(arena: try Arena(attaching: arena))
        }
    }

    /// Lets `body`, and the threads that it starts, run where they like; the device's own processor is its place again
    /// afterwards.
    private func onAnyProcessor<Result>(_ body: () throws -> Result) throws -> Result {
        try Processors.allow(everywhere)
        defer { if let processor { try? Processors.bind(to: processor) } }
        return try body()
    }

    // MARK: Duties

    /// Serves its queue until it is told to end, and puts what there is to say into the answer.
    private func serve(
        _ strategy: any PinStrategy, _ turn: DeviceTurn, _ done: inout DeviceReply
    ) throws(TurnFailure) {
        let (setup, clock) = (turn.setup, turn.clock)
        let (pinner, cache) = try makePinner(strategy, turn)
        let mover = DataMover(
            writer: try makeWriter(setup), reader: DmaReader(setup.settings.readEngine),
            faults: FaultRecovery(
                policy: setup.faultPolicy, table: strategy.arena.table,
                hypervisor: InheritedDescriptor.service, timeout: setup.retryNanoseconds))
        let notifications = try makeNotifications(setup)
        var loop: RequestLoop
        do throws(RingError) {
            loop = try RequestLoop(
                turn, pinner: pinner, mover: mover, notifications: notifications)
        } catch {
            throw TurnFailure(description: "\(error)")
        }

        // The device writes the used ring at any time: its queue stays pinned for the turn.
        let start = clock.now()
        let queuePin = try TurnFailure.telling(of: pinner) {
            try pinner.pin(setup.queueArea)
        }
        // However the turn ends: the device lives on.
        defer {
            pinner.unregister()
            pinner.unpin(queuePin)
        }
        try TurnFailure.telling(of: pinner) { try pinner.register(setup.buffer.ranges) }
        var ready = DeviceReply(.ready)
        ready.setupPinNanoseconds = clock.nanoseconds(from: clock.now() &- start)
        guard let hot = loop.hotPair(Self.request(setup)) else {
            throw TurnFailure("the hot loop's pin was refused", of: pinner)
        }
        ready.hotPair = hot
        let countedAtSetup = cache?.counters
        try announce(ready, setup)
        if let broken = loop.run() {
            throw TurnFailure(description: "the virtqueue is broken: \(broken)")
        }
        done.faults = loop.faultTotals
        done.longestPinWaitNanoseconds = loop.longestPinWait
        done.interference = loop.finish()
        if let cache, let countedAtSetup { done.cache = cache.counters.since(countedAtSetup) }
    }

    /// Attacks the page that it is told of.
    private func attack(
        _ strategy: any PinStrategy, _ turn: DeviceTurn
    ) throws(TurnFailure) -> RogueReport {
        let (pinner, _) = try makePinner(strategy, turn)
        try announce(DeviceReply(.ready), turn.setup)
        guard let writer = try makeWriter(turn.setup),
            let (page, _) = try TurnFailure.telling({ try control.receive(UInt64.self) })
        else { return RogueReport() }
        return RogueDevice(pinner: pinner, view: turn.view, writer: writer).attack(GFN(page))
    }

    /// Says that the device is at its work, and hands over the protection of its memory where the hypervisor wants it:
    /// private pages are protected here for as long as the hypervisor keeps that.
    private func announce(_ ready: DeviceReply, _ setup: TurnSetup) throws(TurnFailure) {
        try TurnFailure.telling {
            let protection =
                try setup.isProtected
                ? WriteProtection(
                    of: UnsafeMutableRawBufferPointer(start: memory.base, count: memory.byteCount))
                : nil
            try control.send(ready)
            try protection?.send(to: control.descriptor)
        }
    }

    private func makePinner(
        _ strategy: any PinStrategy, _ turn: DeviceTurn
    ) throws(TurnFailure) -> (pinner: any Pinner, cache: (any CachingPinner)?) {
        let unlimited: any Pinner = try TurnFailure.telling {
            try strategy.pinner(
                for: device,
                in: DeviceSurroundings(
                    memory: turn.view, hypervisor: InheritedDescriptor.service))
        }
        let cache = unlimited as? any CachingPinner
        cache?.limit = turn.setup.settings.cache ?? turn.setup.requestPages
        let limited = turn.setup.pinLimit.map { LimitedPinner(unlimited, limit: $0) }
        return (limited ?? unlimited, cache)
    }

    /// All that the device pins for one request: of a pool as much as its pieces take, one after the other, and of a
    /// trace's buffer as much as its largest request.
    private static func request(_ setup: TurnSetup) -> [PageRange] {
        let (buffer, pages) = (setup.buffer, setup.requestPages.rawValue)
        guard pages != buffer.pages.rawValue else { return buffer.ranges }
        return stride(from: 0, to: pages, by: Int(buffer.pages.rawValue)).map {
            PageRange(start: buffer.span.lower, count: min(buffer.pages.rawValue, pages - $0))
        }
    }

    private func makeWriter(_ setup: TurnSetup) throws(TurnFailure) -> DmaWriter? {
        let settings = setup.settings
        guard settings.writes else { return nil }
        func make() throws -> DmaWriter {
            try DmaWriter(
                engine: settings.engine, lanes: settings.lanes, device: UInt16(device.rawValue),
                expectsFaults: setup.isProtected)
        }
        // Lanes run where they like, next to the device's own processor.
        return try TurnFailure.telling {
            try settings.lanes > 1 ? onAnyProcessor(make) : make()
        }
    }

    private func makeNotifications(_ setup: TurnSetup) throws(TurnFailure) -> Notifications {
        try TurnFailure.telling {
            Notifications(
                sleeps: setup.sleeps, calls: setup.calls,
                kick: try .duplicate(InheritedDescriptor.kick),
                call: try .duplicate(InheritedDescriptor.call))
        }
    }
}

/// Why a device cannot do a turn, for the control socket.
struct TurnFailure: Error {
    let kind: DeviceReply.Kind
    let description: String

    init(description: String) {
        kind = .failed
        self.description = description
    }

    /// What was refused; where it was the kernel that did, its own words.
    init(_ description: String, of pinner: (any Pinner)?) {
        if let error = pinner?.kernelRefusal {
            self.init(kind: .refused, description: error.description)
        } else {
            self.init(description: description)
        }
    }

    /// Does what may fail, and says why it did; `pinner` is whose pins are asked for.
    static func telling<Result: ~Copyable>(
        of pinner: (any Pinner)? = nil, _ body: () throws -> Result
    ) throws(TurnFailure) -> Result {
        do {
            return try body()
        } catch let error as SystemError {
            throw TurnFailure(kind: .refused, description: error.description)
        } catch let error as PinRefusal {
            throw TurnFailure("a pin at set-up was refused: \(error)", of: pinner)
        } catch {
            throw TurnFailure(description: "\(error)")
        }
    }

    private init(kind: DeviceReply.Kind, description: String) {
        self.kind = kind
        self.description = description
    }
}
