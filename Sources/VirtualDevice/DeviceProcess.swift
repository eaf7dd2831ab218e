import DmaWriter
import Glibc
import GuestMemory
import Linux
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
                try serve(try strategy(for: setup), setup, &reply)
            } catch {
                (reply, text) = (DeviceReply(error.kind), error.description)
            }
            guard try control.answer(reply, text: text) else { return }
        }
    }

    private func strategy(for setup: TurnSetup) throws(TurnFailure) -> any PinStrategy {
        let queue = try Self.layout(setup).area(at: GFN(setup.queueStart))
        do throws(SystemError) {
            // What the hypervisor has touched since faults here no more; of guest memory what the device is to touch. On any
            // processor: devices that share one would do it one after the other.
            try Processors.allow(everywhere)
            defer { if let processor { try? Processors.bind(to: processor) } }
            let shouldStop = { [telemetry] in telemetry.shouldStop }
            for range in [setup.buffer.span, queue] {
                let start = Int(range.start.address)
                try memory.mapPopulated(
                    start..<start + Int(range.count.bytes.rawValue), shouldStop: shouldStop)
            }
            try arena.mapPopulated(shouldStop: shouldStop)
            try ledger.mapPopulated(shouldStop: shouldStop)
            return Registry.all[Int(setup.strategy)].init(arena: try Arena(attaching: arena))
        } catch {
            throw TurnFailure(error)
        }
    }

    private static func layout(_ setup: TurnSetup) throws(TurnFailure) -> VirtqueueLayout {
        do throws(LayoutError) {
            return try VirtqueueLayout(
                queueSize: Int(setup.queueSize), dataDescriptors: Int(setup.queueDataDescriptors))
        } catch {
            throw TurnFailure(description: error.description)
        }
    }

    /// Serves one turn, and puts what there is to say into the answer.
    private func serve<S: PinStrategy>(
        _ strategy: S, _ setup: TurnSetup, _ done: inout DeviceReply
    ) throws(TurnFailure) {
        let view = GuestView(memory, pages: PageCount(setup.guestPages))
        let layout = try Self.layout(setup)
        let clock = TickClock(scale: setup.scale)
        let unlimited = try makePinner(strategy, view)
        let cache = unlimited as? any CachingPinner
        cache?.limit = PageCount(setup.cachePages)
        let limit = PageCount(setup.pinLimitPages)
        let pinner: any Pinner =
            limit == PageCount(0) ? unlimited : LimitedPinner(unlimited, limit: limit)
        var loop = RequestLoop(
            device: device, pinner: pinner, view: view, clock: clock,
            ledger: ConversionLedger(ledger, pages: PageCount(setup.guestPages)),
            writer: try makeWriter(setup), setup: setup, telemetry: telemetry,
            notifications: try makeNotifications(setup), layout: layout,
            faults: FaultRecovery(
                policy: Self.faultPolicy(setup), table: strategy.arena.table,
                hypervisor: InheritedDescriptor.service, patience: setup.retryNanoseconds))

        // The device writes the used ring at any time: its queue stays pinned for the turn.
        let start = clock.now()
        let queuePin = try pinned(by: pinner) { () throws(PinRefusal) in
            try pinner.pin(layout.area(at: GFN(setup.queueStart)))
        }
        // However the turn ends: the device lives on.
        defer {
            pinner.unregister()
            pinner.unpin(queuePin)
        }
        let ranges = setup.buffer.ranges
        try pinned(by: pinner) { () throws(PinRefusal) in try pinner.register(ranges) }
        var ready = DeviceReply(.ready)
        ready.setupPinNanoseconds = clock.nanoseconds(from: clock.now() &- start)
        guard let hot = loop.hotPair(Self.request(setup)) else {
            throw TurnFailure("the hot loop's pin was refused", of: pinner)
        }
        ready.hotPair = hot
        let countedAtSetup = cache?.counters
        let protection = try makeProtection(setup)
        try reply(ready)
        if let protection { try send(protection) }
        let broken = setup.isRogue == 0 ? loop.run() : nil
        if setup.isRogue != 0 { done.attack = try attack(with: pinner, view, setup) }
        if let broken { throw TurnFailure(description: "the virtqueue is broken: \(broken)") }
        done.faults = loop.faultTotals
        done.longestPinWaitNanoseconds = loop.longestPinWait
        done.interference = loop.finish()
        if let cache, let countedAtSetup { done.cache = cache.counters.since(countedAtSetup) }
    }

    private func attack(
        with pinner: any Pinner, _ view: GuestView, _ setup: TurnSetup
    ) throws(TurnFailure) -> RogueReport {
        guard let writer = try makeWriter(setup) else { return RogueReport() }
        do throws(SystemError) {
            guard let (page, _) = try control.receive(UInt64.self) else { return RogueReport() }
            return RogueDevice(pinner: pinner, view: view, writer: writer).attack(GFN(page))
        } catch {
            throw TurnFailure(error)
        }
    }

    /// All that the device pins for one request: of a pool as much as its pieces take, one after the other.
    private static func request(_ setup: TurnSetup) -> [PageRange] {
        let (buffer, pages) = (setup.buffer, setup.requestPages)
        guard pages > buffer.pages.rawValue else { return buffer.ranges }
        return stride(from: 0, to: pages, by: Int(buffer.pages.rawValue)).map {
            PageRange(start: buffer.start, count: min(buffer.pages.rawValue, pages - $0))
        }
    }

    private static func faultPolicy(_ setup: TurnSetup) -> FaultPolicy? {
        setup.faultPolicy == 0 ? nil : FaultPolicy.allCases[Int(setup.faultPolicy) - 1]
    }

    /// Lets private pages be protected here, as long as it lives: until the turn ends.
    private func makeProtection(_ setup: TurnSetup) throws(TurnFailure) -> WriteProtection? {
        guard setup.enforces != 0 else { return nil }
        do throws(SystemError) {
            return try WriteProtection(
                of: UnsafeMutableRawBufferPointer(start: memory.base, count: memory.byteCount))
        } catch {
            throw TurnFailure(error)
        }
    }

    private func send(_ protection: borrowing WriteProtection) throws(TurnFailure) {
        do throws(SystemError) {
            try protection.send(to: control.descriptor)
        } catch {
            throw TurnFailure(error)
        }
    }

    private func makePinner<S: PinStrategy>(
        _ strategy: S, _ view: GuestView
    ) throws(TurnFailure) -> S.Device {
        do throws(SystemError) {
            return try strategy.pinner(
                for: device,
                in: DeviceSurroundings(memory: view, hypervisor: InheritedDescriptor.service))
        } catch {
            throw TurnFailure(error)
        }
    }

    private func reply(_ message: DeviceReply) throws(TurnFailure) {
        do throws(SystemError) {
            try control.send(message)
        } catch {
            throw TurnFailure(error)
        }
    }

    private func pinned<Result>(
        by pinner: any Pinner, _ body: () throws(PinRefusal) -> Result
    ) throws(TurnFailure) -> Result {
        do throws(PinRefusal) {
            return try body()
        } catch {
            throw TurnFailure("a pin at set-up was refused: \(error)", of: pinner)
        }
    }

    private func makeWriter(_ setup: TurnSetup) throws(TurnFailure) -> DmaWriter? {
        guard setup.writes != 0 else { return nil }
        do throws(SystemError) {
            // Lanes run where they like, next to the device's own processor.
            if setup.lanes > 1 { try Processors.allow(everywhere) }
            defer { if setup.lanes > 1, let processor { try? Processors.bind(to: processor) } }
            return try DmaWriter(
                engine: FillEngine.allCases[Int(setup.engine)], lanes: Int(setup.lanes),
                device: UInt16(device.rawValue), expectsFaults: setup.enforces != 0)
        } catch {
            throw TurnFailure(error)
        }
    }

    private func makeNotifications(_ setup: TurnSetup) throws(TurnFailure) -> Notifications {
        do throws(SystemError) {
            func copy(_ number: Int32) throws(SystemError) -> FileDescriptor {
                try .duplicate(number)
            }
            return Notifications(
                sleeps: setup.sleeps != 0, calls: setup.calls != 0,
                kick: try copy(InheritedDescriptor.kick),
                call: try copy(InheritedDescriptor.call))
        } catch {
            throw TurnFailure(error)
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
    init(_ description: String, of pinner: any Pinner) {
        if let error = pinner.kernelRefusal {
            self.init(error)
        } else {
            self.init(description: description)
        }
    }

    init(_ error: SystemError) {
        kind = .refused
        description = error.description
    }
}
