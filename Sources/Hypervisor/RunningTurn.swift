import DmaWriter
import Guest
import GuestMemory
import Linux
import PinLock
import Synchronization
import Telemetry
import VirtualDevice

/// A turn while devices and vCPUs run: starting them, watching them, bringing them to an end in the right order.
///
/// The programs know when the measurement begins and ends, and the devices keep their own figures. So the harness's
/// thread sleeps: it watches for deaths, and for whoever stands still.
final class RunningTurn {
    private let machine: VirtualMachine
    private let plan: TurnPlan
    private let guest: BootedGuest
    private let shouldStop: () -> Bool
    /// The devices that take part.
    private let devices: [DeviceHandle]
    private let deviceWatch: DeviceWatch
    private let recovery: DeviceRecovery
    private let samples: SampleStream?
    private let measurements = Measurements()
    private var setupPin = 0.0
    private var hotPairs: [HotPair] = []
    /// One for each device where the strategy has the hypervisor answer them.
    private var services: [JoinableThread] = []
    /// Why a service could not go on.
    private let serviceFault = Fault()
    private let converterPort: PSCHandler

    private final class Fault: Sendable {
        let error = Mutex<MachineError?>(nil)
    }

    /// How long a device that runs may take for what is in flight: the largest requests take a minute.
    private static let deviceTimeout: UInt64 = 600_000_000_000
    /// How long the harness sleeps, in milliseconds; less where it has samples to take. A death and the end of a vCPU wake
    /// it. Each nap that ends takes some 30 us from a vCPU that has its processor: ten a second are 0.03 % of the time.
    private static let nap: UInt64 = 100
    private static let napBetweenSamples: UInt64 = 1
    /// How long requests in flight have for their end once the run has been interrupted: who is within a large one is
    /// killed.
    private static let interruptionMilliseconds: UInt64 = 200

    private static var answerDeadline: Deadline { .after(nanoseconds: deviceTimeout) }

    init(
        machine: VirtualMachine, plan: TurnPlan, guest: BootedGuest,
        shouldStop: @escaping () -> Bool
    ) {
        self.machine = machine
        self.plan = plan
        self.guest = guest
        self.shouldStop = shouldStop
        devices = Array(machine.devices.prefix(plan.map.buffers.count))
        deviceWatch = DeviceWatch(devices)
        recovery = DeviceRecovery(deviceWatch, strategy: guest.strategy)
        converterPort = PSCHandler(guest.host)
        samples =
            plan.streamsSamples
            ? SampleStream(devices, piecesPerRequest: plan.map.piecesPerRequest) : nil
    }

    func run(onSample: (DeviceID, DMASample) -> Void) throws(MachineError) -> TurnOutcome {
        defer { for service in services { service.join() } }
        let before = MachineState()
        let vcpus: [VCPU]
        do throws(MachineError) {
            try startServices()
            try startDevices()
            vcpus = try runVCPUs(onSample)
            try endDevices()
        } catch {
            if case .interrupted = error {
                interrupt()
                throw error
            }
            recovery.run(services)
            // What follows from a fault may be seen first.
            let error = serviceFault.error.withLock { $0 } ?? error
            guard case .device(let text) = error else { throw error }
            throw .recovered(
                text + recovery.note, refusal: recovery.refusal,
                leakedPins: machine.arena.livePins)
        }
        samples?.drain(onSample)
        return try conclude(vcpus, MachineState().since(before))
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
                try TrialVCPUs(
                    machine: machine, processor: plan.processors.vcpus[0], handler: converterPort,
                    map: plan.map
                ).run()
            }
            if let fault = serviceFault.error.withLock({ $0 }) { throw fault }
        } catch {
            recovery.run(services)
            throw serviceFault.error.withLock { $0 } ?? error
        }
        guest.oracle.checkPrivatePages(
            machine.arena.table, except: plan.map.targets.flatMap(\.ranges))
        return Trial(
            attack: attack, stoppedVCPU: vcpus.stopped, conversions: vcpus.conversions,
            conversionsAsked: TrialVCPUs.conversionsAsked, violations: guest.oracle.violations)
    }

    // MARK: Devices

    private func startServices() throws(MachineError) {
        guard plan.strategy.info.isServed else { return }
        let (strategy, host, machine, fault) = (guest.strategy, guest.host, machine, serviceFault)
        for (index, device) in devices.enumerated() {
            let thread = try system { () throws(SystemError) in
                // The device sleeps while it is answered: its processor is free.
                try machine.startThread(
                    "serve-\(device.id.rawValue)", on: plan.processors.devices[index]
                ) {
                    let handler = PSCHandler(host)
                    do throws(SystemError) {
                        try device.serve(strategy, takeBack: handler.takeBack)
                    } catch {
                        fault.error.withLock { $0 = .system(error) }
                        device.endService()
                    }
                }
            }
            services.append(JoinableThread(thread))
        }
    }

    private func startDevices() throws(MachineError) {
        for (index, device) in devices.enumerated() {
            try device.begin(plan.setup(ofDevice: index, scale: machine.clock.scale))
        }
        for reply in try deviceWatch.answers(until: Self.answerDeadline, shouldStop: shouldStop) {
            setupPin += reply.setupPinNanoseconds
            hotPairs.append(reply.hotPair)
        }
        guard let mmu = guest.mmu else { return }
        for device in devices {
            let protection = try device.receiveProtection()
            do throws(SystemError) {
                try mmu.add(protection, privateRanges: plan.map.privateRanges)
            } catch {
                throw .system(error)
            }
        }
    }

    private func endDevices() throws(MachineError) {
        for device in devices { device.end() }
        let replies = try deviceWatch.answers(until: Self.answerDeadline)
        for (device, done) in zip(devices, replies) { measurements.take(done, of: device) }
    }

    /// The run has been interrupted: whoever does not come to its end at once is killed. Its pins go with the arena.
    private func interrupt() {
        for device in devices { device.end() }
        let killed = deviceWatch.endAll(until: .now)
        for device in devices { device.endService() }
        machine.hasLostDevices = !killed.isEmpty
    }

    // MARK: vCPUs

    /// Lets the vCPUs run until their programs have come to an end.
    private func runVCPUs(
        _ onSample: (DeviceID, DMASample) -> Void
    ) throws(MachineError) -> [VCPU] {
        let control = guest.control
        let vcpus = makeVCPUs()
        var threads: [JoinableThread] = []
        defer { for thread in threads { thread.join() } }
        do throws(MachineError) {
            for (number, vcpu) in vcpus.enumerated() {
                threads.append(JoinableThread(try start(vcpu, number)))
            }
            try watch(until: { control.driversAreDone || shouldStop() }, onSample)
            if !control.driversAreDone {
                control.end()
                // What is in flight comes to its end, or its device does.
                let end = Deadline.after(milliseconds: Self.interruptionMilliseconds)
                try watch(until: { control.driversAreDone || end.hasPassed }, onSample)
                guard control.driversAreDone else { throw .interrupted }
            }
            if let error = control.deviceError { throw .device("\(error)") }
            if let fault = serviceFault.error.withLock({ $0 }) { throw fault }
        } catch {
            control.abandon()
            // Before the vCPUs are waited for: one may wait for a pin of the dead.
            if case .interrupted = error { throw error }
            recovery.run(services)
            throw error
        }
        return vcpus
    }

    private func makeVCPUs() -> [VCPU] {
        let processors = plan.processors
        var programs: [[any GuestProgram]] = processors.vcpus.map { _ in [] }
        for (index, driver) in guest.drivers.enumerated() {
            programs[processors.vcpu(ofDriver: index)].append(driver)
        }
        let clock = machine.clock
        // Each vCPU hears the devices of its own drivers.
        var calls: [[Int32]] = processors.vcpus.map { _ in [] }
        for (index, device) in devices.enumerated() {
            calls[processors.vcpu(ofDriver: index)].append(device.call.descriptor.raw)
        }
        if plan.settings.convertRate != 0, !plan.settings.converterBlocks {
            programs[0].insert(makeConverter(converterPort), at: 0)
        }
        var vcpus = zip(programs, calls).filter { !$0.0.isEmpty }.map { programs, calls in
            VCPU(
                programs, clock: clock, control: guest.control,
                idling: processors.vcpusSleep
                    ? .sleep { _ = FileDescriptor.waitNotified(calls, until: $0) } : .poll)
        }
        if plan.settings.convertRate != 0, plan.settings.converterBlocks {
            let converter = makeConverter(BlockingHypercalls(converterPort, guest.control))
            vcpus.append(
                VCPU(
                    [converter], clock: clock, control: guest.control,
                    idling: .sleep { Linux.sleep(until: $0) }))
        }
        return vcpus
    }

    private func makeConverter(_ hypercalls: any Hypercalls) -> Converter {
        Converter(
            map: plan.map, rate: plan.settings.convertRate.hertz, pages: plan.settings.convertPages,
            place: plan.settings.convertPlace, seed: plan.settings.seed, clock: machine.clock,
            hypercalls: hypercalls, control: guest.control)
    }

    private func start(_ vcpu: VCPU, _ number: Int) throws(MachineError) -> WorkerThread {
        let processors = plan.processors.vcpus
        let finished = machine.finished
        return try system { () throws(SystemError) in
            try machine.startThread(
                "vcpu-\(number)", on: processors[min(number, processors.count - 1)]
            ) {
                Processors.sharpenTimers()
                vcpu.run()
                finished.notify()
            }
        }
    }

    /// Sleeps until the condition holds; throws as soon as a device has died, and soon after it has been stopped.
    private func watch(
        until condition: () -> Bool, _ onSample: (DeviceID, DMASample) -> Void
    ) throws(MachineError) {
        let nap = samples == nil ? Self.nap : Self.napBetweenSamples
        var (answers, timeout) = (guest.control.answerCount, Self.answerDeadline)
        while !condition() {
            samples?.drain(onSample)
            if guest.control.answerCount != answers {
                (answers, timeout) = (guest.control.answerCount, Self.answerDeadline)
            }
            if timeout.hasPassed { throw .device("a device does not complete its request") }
            if let fault = serviceFault.error.withLock({ $0 }) { throw fault }
            if guest.control.isHopeless {
                let count = guest.drivers.reduce(0) { $0 + $1.failuresInARow }
                throw .refused(
                    """
                    no device gets its pins any more, for want of memory or room: \
                    \(count) requests have failed in a row; raise ulimit -l, or --pin-limit
                    """)
            }
            try deviceWatch.check(milliseconds: nap, or: machine.finished)
        }
    }

    // MARK: Afterwards

    /// Nothing runs any more: checks what must hold, and sums up.
    private func conclude(
        _ vcpus: [VCPU], _ meanwhile: MachineState
    ) throws(MachineError) -> TurnOutcome {
        let wasInterrupted = shouldStop()
        // What has not been checked is no result, and to check a guest so large takes longer than anybody waits.
        if wasInterrupted, plan.map.pages.bytes > Self.largestCheckAfterInterruption {
            throw .interrupted
        }
        let checks = TurnChecks(machine: machine, plan: plan, guest: guest)
        let complaint = try system { () throws(SystemError) in
            try checks.complaint(shouldStop: { !wasInterrupted && shouldStop() })
        }
        if shouldStop(), !wasInterrupted { throw .interrupted }
        if let complaint { throw .internalFault(complaint) }
        let host = guest.host
        if let failure = host.effects.firstFailure { throw .system(failure) }
        // What the guest has freed is allocated again before the next turn, which would pay for it.
        if plan.settings.frees, plan.settings.writes {
            try system { () throws(SystemError) in
                try guest.view.mapping.populate(
                    0..<Int(plan.map.pages.bytes.rawValue), shouldStop: shouldStop)
            }
        }
        let splits = try system { () throws(SystemError) in try machine.arena.splitCount() }
        let faults = measurements.faults
        let stale = measurements.requests.totals.stalePages
        let settlings = devices.map(\.telemetry.settling)
        return TurnOutcome(
            measurements: measurements, copyMedian: guest.copyMedian,
            conversions: converterPort.takeLog(),
            setupPSCNanoseconds: guest.setupPSCNanoseconds, setupPinNanoseconds: setupPin,
            hotPair: hotPairs.sorted { $0.nanoseconds < $1.nanoseconds }[hotPairs.count / 2],
            violationsPrivate: plan.settings.writes ? guest.oracle.violations + wrongStores : nil,
            violationsStale: isPinned ? stale : 0,
            firstViolation: guest.oracle.report ?? firstWrongStore
                ?? (isPinned ? measurements.firstStale : nil),
            leakedPins: machine.arena.livePins,
            splits: splits - guest.splitsAtBoot,
            faults: plan.protects ? faults : nil,
            cache: plan.strategy.isCached ? measurements.cache : nil,
            surprises: host.takenBack.found,
            lostBytes: faults.lostBytes + (isPinned ? 0 : stale * pageSize),
            vcpus: vcpus.map(\.interference),
            longestVCPUStep: vcpus.map(\.longestStepNanoseconds).max() ?? 0,
            throttledNanoseconds: meanwhile.throttledNanoseconds, harnessStops: meanwhile.stops,
            warmedUp: settlings.allSatisfy { $0 == .done }, stalls: samples?.stalls ?? 0,
            wasInterrupted: wasInterrupted)
    }

    private static let largestCheckAfterInterruption = ByteCount(4 << 30)

    /// Whether conversions under a write are the strategy's fault.
    private var isPinned: Bool { plan.strategy.info.promisesByPins }

    /// Stores to private pages that the devices' page tables kept out of them: as wrong as if they had landed.
    private var wrongStores: UInt64 { isPinned ? measurements.faults.count : 0 }
    private var firstWrongStore: String? {
        guard wrongStores > 0 else { return nil }
        let faults = measurements.faults
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
