import DmaWriter
import Guest
import GuestMemory
import Linux
import PinLock
import Synchronization
import Telemetry
import Virtqueue
import VirtualDevice

/// What came of one turn.
public struct TurnOutcome {
    public let measurements: Measurements
    /// The guest's copies out of its pools; nil where it has none.
    public let copies: CopyLog?
    public let conversions: ConversionLog
    /// The guest's sharing of its buffers, and the devices' pins at set-up, in nanoseconds.
    public let setupPSCNanoseconds: UInt64
    public let setupPinNanoseconds: Double
    /// One pin and unpin in a warm loop, in nanoseconds: the median device's.
    public let pairHotNanoseconds: Double
    /// Pages whose canary a device overwrote; pages that were converted while a device had them pinned.
    /// The first is nil without writes, when nobody looks.
    public let violationsPrivate: UInt64?
    public let violationsStale: UInt64
    public let firstViolation: String?
    /// Pins left when all devices had given theirs back.
    public let leakedPins: Int
    public let splits: UInt64
    /// Stores that faulted, and what became of them; nil where nothing could fault.
    public let faults: FaultTotals?
    /// What the devices' caches of pins did from the first request on, warm-up included; nil where they have none.
    public let cache: CacheCounters?
    /// The longest time for which a request waited for a conversion before it had its pins or gave up, in nanoseconds;
    /// nil where none did.
    public let longestPinWait: UInt64?
    /// Pages that the guest found taken back.
    public let surprises: UInt64
    /// Bytes of requests that were completed or given up which never reached the guest.
    public let lostBytes: UInt64
    public let warmedUp: Bool
    /// How often a device waited, between two requests, for the harness to take its samples.
    public let stalls: UInt64
    public let wasInterrupted: Bool
}

extension VirtualMachine {
    /// Runs one turn: boots the guest, lets devices and vCPUs run against each other until there are enough DMAs, and
    /// checks afterwards that every promise was kept.
    ///
    /// Stops early where `shouldStop` says so. A device that dies ends the turn: its pins are recovered, the others
    /// finish, and the error names it.
    public func run(
        _ plan: TurnPlan, shouldStop: () -> Bool,
        onSample: (DeviceID, DMASample) -> Void = { _, _ in }
    ) throws(MachineError) -> TurnOutcome {
        // The first touch of what the strategy and its pages take is nobody's cost.
        if !isRehearsed(plan) { _ = try boot(plan) }
        let turn = RunningTurn(machine: self, plan: plan, guest: try boot(plan))
        return try turn.run(shouldStop: shouldStop, onSample: onSample)
    }

    /// Makes the guest, wholly private, and lets it share its queues and buffers.
    func boot(_ plan: TurnPlan) throws(MachineError) -> BootedGuest {
        do throws(SystemError) {
            try reset(for: plan)
        } catch {
            throw .system(error)
        }
        let view = GuestView(memory, pages: plan.map.pages)
        let ledger = ConversionLedger(self.ledger, pages: plan.map.pages)
        let strategy = plan.strategy.init(arena: arena)
        let frames: GuestView
        do throws(SystemError) {
            frames = try privateFrames(for: plan) ?? view
        } catch {
            throw .system(error)
        }
        let oracle = PrivatePageOracle(view: frames, ledger: ledger, isAwake: plan.writes)
        let mmu = DeviceMMU()
        let privateMemory = PrivateMemory(shared: view, frames: frames, frees: plan.frees)
        let handler = PSCHandler(
            strategy: strategy, policy: plan.policy, patience: plan.patienceNanoseconds,
            oracle: oracle, mmu: mmu,
            memory: privateMemory,
            wakeDevices: { [devices] in for device in devices { device.wake() } })
        let kicks = devices.prefix(plan.map.buffers.count).map {
            device -> (@Sendable () -> Void)? in
            guard plan.usesEventfd else { return nil }
            return { device.wake() }
        }
        var interrupt: (@Sendable () -> Void)?
        if plan.usesEventfd { interrupt = { [call] in call.wait() } }
        let driver: Driver
        do throws(PrepareError) {
            driver = try Driver(
                map: plan.map, view: view, kicks: kicks, waitForInterrupt: interrupt,
                copyClock: plan.writes ? clock : nil)
        } catch {
            throw .internalFault("the driver's request: \(error)")
        }
        var refusal = driver.share(plan.map.queueAreas, through: handler)
        let start = monotonicNanoseconds()
        refusal = refusal ?? driver.share(plan.map.bufferRanges, through: handler)
        let elapsed = monotonicNanoseconds() - start
        if let refusal { throw .internalFault("the guest's first sharing got \(refusal)") }
        oracle.arm(plan.map.privateRanges)
        let splits: UInt64
        do throws(SystemError) {
            splits = try arena.splitCount()
        } catch {
            throw .system(error)
        }
        _ = handler.takeLog()
        return BootedGuest(
            view: view, strategy: strategy, ledger: ledger, oracle: oracle, mmu: mmu,
            privateMemory: privateMemory, handler: handler, driver: driver,
            setupPSCNanoseconds: elapsed, splitsAtBoot: splits)
    }
}

/// A booted guest and the hypervisor's objects that serve it.
struct BootedGuest {
    let view: GuestView
    let strategy: any PinStrategy
    let ledger: ConversionLedger
    let oracle: PrivatePageOracle
    let mmu: DeviceMMU
    let privateMemory: PrivateMemory
    let handler: PSCHandler
    let driver: Driver
    let setupPSCNanoseconds: UInt64
    /// 2 MiB entries that sharing buffers and queues has split: no conversion's doing.
    let splitsAtBoot: UInt64
}
