import DmaWriter
import Guest
import GuestMemory
import Linux
import PinLock
import Synchronization
import Telemetry
import VirtualDevice

/// A turn while devices and vCPUs run: starting them, watching them, bringing them to an end in the right order.
final class RunningTurn {
    private let machine: VirtualMachine
    private let plan: TurnPlan
    private let guest: BootedGuest
    /// The devices that take part.
    private let devices: [DeviceHandle]
    private let deviceWatch: DeviceWatch
    private let flags = Flags()
    private let collector: SampleCollector
    private var setupPin = 0.0
    private var pairHot: [Double] = []
    private var hasRecovered = false
    /// Why a dead device's pins are left.
    private var recoveryRefusal: RecoveryRefusal?
    /// Devices that did not come to their end by themselves once another had died.
    private var killed: [DeviceID] = []
    private var faults = FaultTotals()
    private var cache = CacheCounters()
    private var longestPinWait: UInt64 = 0
    /// One for each device where the strategy has the hypervisor answer them.
    private var services: [JoinableThread] = []

    /// What the harness's thread and the vCPUs tell each other.
    private final class Flags: Sendable {
        let stop = Atomic<Bool>(false)
        /// A device is dead: nobody will complete what is in flight.
        let abandoned = Atomic<Bool>(false)
        let driverIsDone = Atomic<Bool>(false)
        /// Why a thread beside the harness's own could not go on: what a device did to its queue, or what the kernel
        /// refused a service.
        let fault = Mutex<MachineError?>(nil)
    }

    /// How long a device that runs may take for what is in flight: the largest requests take a minute.
    private static let deviceTimeout: UInt64 = 600_000_000_000
    /// The same once a turn has failed.
    private static let endTimeout: UInt64 = 60_000_000_000

    private static var answerDeadline: Deadline { .after(nanoseconds: deviceTimeout) }

    init(machine: VirtualMachine, plan: TurnPlan, guest: BootedGuest) {
        self.machine = machine
        self.plan = plan
        self.guest = guest
        devices = Array(machine.devices.prefix(plan.map.buffers.count))
        deviceWatch = DeviceWatch(devices)
        collector = SampleCollector(
            devices, clock: machine.clock, writes: plan.writes,
            piecesPerRequest: plan.map.piecesPerRequest,
            countFromNextRequest: { guest.driver.countFromNextRequest() })
    }

    func run(
        shouldStop: () -> Bool, onSample: (DeviceID, DMASample) -> Void
    ) throws(MachineError) -> TurnOutcome {
        defer { for service in services { service.join() } }
        do throws(MachineError) {
            try startServices()
            try startDevices()
            try runVCPUs(shouldStop: shouldStop, onSample: onSample)
            try endDevices()
        } catch {
            recoverDeadDevices()
            // What follows from a fault may be seen first.
            let error = flags.fault.withLock { $0 } ?? error
            guard case .device(let text) = error else { throw error }
            let ended = killed.map { "; \($0) did not come to its end and was killed" }.joined()
            throw .recovered(
                text + ended, refusal: recoveryRefusal, leakedPins: machine.arena.livePins)
        }
        collector.drain(onSample)
        return try conclude(wasInterrupted: shouldStop())
    }

    /// Instead of DMAs: what comes of a device and a vCPU that break the rules.
    func runTrial() throws(MachineError) -> Trial {
        defer { for service in services { service.join() } }
        let attack: RogueReport
        let vcpus: (stopped: GFN?, conversions: Int)
        do throws(MachineError) {
            try startServices()
            try startDevices()
            // A private page with a canary, which nobody ever shares.
            try devices[0].attack(plan.map.free.start)
            attack = try DeviceWatch([devices[0]]).answers(until: Self.answerDeadline)[0].attack
            vcpus = try system { () throws(SystemError) in
                try TrialVCPUs(machine: machine, handler: guest.handler, map: plan.map).run()
            }
            if let fault = flags.fault.withLock({ $0 }) { throw fault }
        } catch {
            recoverDeadDevices()
            throw flags.fault.withLock { $0 } ?? error
        }
        guest.oracle.checkPrivatePages(
            machine.arena.table, except: plan.map.targets.flatMap(\.ranges))
        return Trial(
            attack: attack, stoppedVCPU: vcpus.stopped, conversions: vcpus.conversions,
            conversionsAsked: TrialVCPUs.conversionsAsked, violations: guest.oracle.violations)
    }

    // MARK: Devices

    private func startServices() throws(MachineError) {
        guard plan.strategy.isServed else { return }
        let (strategy, handler, machine, flags) = (guest.strategy, guest.handler, machine, flags)
        for device in devices {
            let thread = try system { () throws(SystemError) in
                try machine.startService("serve-\(device.id.rawValue)") {
                    do throws(SystemError) {
                        try device.serve(strategy, takeBack: handler.takeBack)
                    } catch {
                        flags.fault.withLock { $0 = .system(error) }
                        device.endService()
                    }
                }
            }
            services.append(JoinableThread(thread))
        }
    }

    private func startDevices() throws(MachineError) {
        for (index, device) in devices.enumerated() {
            try device.begin(setup(for: index))
        }
        for reply in try deviceWatch.answers(until: Self.answerDeadline) {
            setupPin += reply.setupPinNanoseconds
            pairHot.append(reply.pairHotNanoseconds)
        }
        guard enforces else { return }
        for device in devices {
            let protection = try device.receiveProtection()
            do throws(SystemError) {
                try guest.mmu.add(protection, privateRanges: plan.map.privateRanges)
            } catch {
                throw .system(error)
            }
        }
    }

    /// Whether the devices' page tables keep them from private pages.
    private var enforces: Bool {
        plan.writes && (plan.enforces || plan.strategy.info.exclusion == .faults)
    }

    private func setup(for index: Int) -> TurnSetup {
        var setup = TurnSetup(scale: machine.clock.scale)
        setup.strategy = UInt32(Registry.all.firstIndex { $0 == plan.strategy }!)
        setup.engine = UInt32(FillEngine.allCases.firstIndex(of: plan.engine)!)
        setup.lanes = UInt32(plan.lanes)
        setup.writes = plan.writes ? 1 : 0
        setup.usesEventfd = plan.usesEventfd ? 1 : 0
        setup.queueSize = UInt32(plan.map.queueLayout.queueSize)
        setup.queueDataDescriptors = UInt32(plan.map.queueLayout.dataDescriptors)
        setup.queueStart = plan.map.queueStarts[index].rawValue
        setup.guestPages = plan.map.pages.rawValue
        setup.buffer = plan.map.buffers[index]
        setup.requestPages = (plan.map.targets.first ?? plan.map.buffers[index]).pages.rawValue
        // A piece is never larger than its pool.
        setup.chunkPages = min(plan.chunk, plan.map.buffers[index].pages).rawValue
        setup.cachePages = plan.cache.rawValue
        setup.pinLimitPages = (plan.pinLimit?.rawValue ?? 0) / UInt64(devices.count)
        setup.retryNanoseconds = plan.patienceNanoseconds
        setup.enforces = enforces ? 1 : 0
        setup.isRogue = plan.isTrial ? 1 : 0
        setup.slowdown = plan.slowdown
        if plan.strategy.info.exclusion == .faults {
            setup.faultPolicy = 1 + UInt32(FaultPolicy.allCases.firstIndex(of: plan.faultPolicy)!)
        }
        return setup
    }

    private func endDevices() throws(MachineError) {
        for device in devices { device.end() }
        for done in try deviceWatch.answers(until: Self.answerDeadline) {
            faults.add(done.faults)
            cache.add(done.cache)
            longestPinWait = max(longestPinWait, done.longestPinWaitNanoseconds)
        }
    }

    /// Takes back the pins of the devices that have died, while the others end their turn: one of those may wait for a
    /// conversion that waits for the dead. Then those of whoever did not come to its end, which is killed.
    private func recoverDeadDevices() {
        guard !hasRecovered else { return }
        hasRecovered = true
        for device in devices { device.end() }
        try? recover(devices.filter { $0.process.poll() != nil })
        killed = deviceWatch.endAll(until: .after(nanoseconds: Self.endTimeout)).map(\.id)
        do throws(RecoveryRefusal) {
            // Once more also of those that were refused while somebody was in a pin.
            try recover(devices.filter { $0.process.poll() != nil })
        } catch {
            recoveryRefusal = error
        }
        for device in devices { device.endService() }
    }

    /// Nothing is done for a dead device by then.
    private func recover(_ dead: [DeviceHandle]) throws(RecoveryRefusal) {
        for device in dead { device.endService() }
        for (device, service) in zip(devices, services) where device.process.poll() != nil {
            service.join()
        }
        try guest.strategy.recover(dead.map(\.id), eachWithin: 1000)
    }

    // MARK: vCPUs

    /// Lets the vCPUs run until there are enough DMAs.
    private func runVCPUs(
        shouldStop: () -> Bool, onSample: (DeviceID, DMASample) -> Void
    ) throws(MachineError) {
        var vcpus: [JoinableThread] = []
        defer { for vcpu in vcpus { vcpu.join() } }
        do throws(MachineError) {
            vcpus.append(JoinableThread(try driverThread()))
            let begin = Deadline.after(nanoseconds: plan.nanosecondLimit)
            try watch(until: { collector.isMeasuring || shouldStop() || begin.hasPassed }, onSample)
            collector.startMeasuring()
            let start = monotonicNanoseconds()
            if plan.convertRate > 0 { vcpus.append(JoinableThread(try converterThread())) }
            try watch(until: { isComplete(since: start) || shouldStop() }, onSample)
            flags.stop.store(true, ordering: .releasing)
            // What is in flight comes to its end, or its device does.
            let patience = Deadline.after(nanoseconds: Self.deviceTimeout)
            try watch(
                until: { flags.driverIsDone.load(ordering: .acquiring) || patience.hasPassed },
                onSample)
            guard flags.driverIsDone.load(ordering: .acquiring) else {
                throw .device("a device does not complete its request")
            }
            if let fault = flags.fault.withLock({ $0 }) { throw fault }
        } catch {
            flags.stop.store(true, ordering: .releasing)
            flags.abandoned.store(true, ordering: .releasing)
            // Before the vCPUs are waited for: one may wait for a pin of the dead.
            recoverDeadDevices()
            throw error
        }
    }

    private func driverThread() throws(MachineError) -> WorkerThread {
        let (driver, flags) = (guest.driver, flags)
        return try system { () throws(SystemError) in
            try machine.startVCPU("vcpu-driver") {
                do {
                    try driver.run(
                        shouldStop: { flags.stop.load(ordering: .acquiring) },
                        isAbandoned: { flags.abandoned.load(ordering: .acquiring) })
                } catch {
                    flags.fault.withLock { $0 = .device("\(error)") }
                }
                flags.driverIsDone.store(true, ordering: .releasing)
            }
        }
    }

    private func converterThread() throws(MachineError) -> WorkerThread {
        let converter = Converter(
            map: plan.map, rate: plan.convertRate, pages: plan.convertPages,
            place: plan.convertPlace,
            seed: plan.seed)
        let (handler, flags) = (guest.handler, flags)
        return try system { () throws(SystemError) in
            try machine.startVCPU("vcpu-converter") {
                var converter = converter
                converter.run(through: handler) { flags.stop.load(ordering: .acquiring) }
            }
        }
    }

    /// Drains samples every millisecond, until the condition holds; throws as soon as a device has died, and soon after
    /// it has been stopped.
    private func watch(
        until condition: () -> Bool, _ onSample: (DeviceID, DMASample) -> Void
    ) throws(MachineError) {
        while !condition() {
            collector.drain(onSample)
            if let fault = flags.fault.withLock({ $0 }) { throw fault }
            if collector.failures.isEndless(at: monotonicNanoseconds()) {
                throw .refused(
                    """
                    no device gets its pins any more, for want of memory or room: \
                    \(collector.failures.count) requests have failed in a row; raise ulimit -l, or --pin-limit
                    """)
            }
            try deviceWatch.check()
        }
    }

    private func isComplete(since start: UInt64) -> Bool {
        let elapsed = monotonicNanoseconds() - start
        let (completed, refused) = (
            collector.measurements.operations, collector.measurements.refused
        )
        if elapsed >= plan.nanosecondLimit { return completed + refused > 0 }
        return completed >= plan.operations && elapsed >= plan.nanoseconds
    }

    // MARK: Afterwards

    /// Nothing runs any more: checks what must hold, and sums up.
    private func conclude(wasInterrupted: Bool) throws(MachineError) -> TurnOutcome {
        let checks = TurnChecks(machine: machine, plan: plan, guest: guest)
        let complaint = try system { () throws(SystemError) in try checks.complaint(collector) }
        if let complaint { throw .internalFault(complaint) }
        if let failure = guest.mmu.firstFailure ?? guest.privateMemory.firstFailure {
            throw .system(failure)
        }
        let conversions = guest.handler.takeLog()
        // What the guest has freed is allocated again before the next turn, which would pay for it.
        if plan.frees, plan.writes {
            try system { () throws(SystemError) in
                try guest.view.mapping.populate(0..<Int(plan.map.pages.bytes.rawValue))
            }
        }
        let splits = try system { () throws(SystemError) in try machine.arena.splitCount() }
        return TurnOutcome(
            measurements: collector.measurements, copies: guest.driver.copies,
            conversions: conversions,
            setupPSCNanoseconds: guest.setupPSCNanoseconds, setupPinNanoseconds: setupPin,
            pairHotNanoseconds: pairHot.sorted()[pairHot.count / 2],
            violationsPrivate: plan.writes ? guest.oracle.violations + wrongStores : nil,
            violationsStale: isPinned ? collector.stalePages : 0,
            firstViolation: guest.oracle.report ?? firstWrongStore
                ?? (isPinned ? collector.firstStale : nil),
            leakedPins: machine.arena.livePins,
            splits: splits - guest.splitsAtBoot,
            faults: enforces ? faults : nil, cache: plan.strategy.isCached ? cache : nil,
            longestPinWait: longestPinWait > 0 ? longestPinWait : nil,
            surprises: conversions.surprises,
            lostBytes: faults.lostBytes + (isPinned ? 0 : collector.stalePages * pageSize),
            warmedUp: collector.isSettled, stalls: collector.stalls, wasInterrupted: wasInterrupted)
    }

    /// Whether conversions under a write are the strategy's fault.
    private var isPinned: Bool { plan.strategy.info.promisesByPins }

    /// Stores to private pages that the devices' page tables kept out of them: as wrong as if they had landed.
    private var wrongStores: UInt64 { isPinned ? faults.count : 0 }
    private var firstWrongStore: String? {
        guard wrongStores > 0 else { return nil }
        return
            "\(GFN(faults.firstGFN)) was private when request \(faults.firstGeneration) wrote to it: "
            + "the store was stopped by the device's page tables, under a pin"
    }

    private func system<Result>(
        _ body: () throws(SystemError) -> Result
    ) throws(MachineError) -> Result where Result: ~Copyable {
        do throws(SystemError) {
            return try body()
        } catch {
            throw .system(error)
        }
    }
}
