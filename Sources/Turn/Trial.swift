import DmaLinux
import Guest
import GuestMemory
import Hypervisor
import PinLock
import VirtualDevice

/// What came of a device and a vCPU that break the rules.
public struct Trial: Sendable {
    /// What a device met that wrote to a private page in every way there is.
    public let attack: RogueReport
    /// The page at which a vCPU was stopped that took a shared page for a private one; nil where it ran on.
    public let stoppedVCPU: GFN?
    /// Page state changes of another vCPU meanwhile, and how many were asked for.
    public let conversions: Int
    public let conversionsAsked: Int
    /// Private pages whose canary is damaged.
    public let violations: UInt64

    /// Whether everything came out as it must.
    public var isAsPromised: Bool {
        attack.storedBytes == 0 && attack.readResult < 0
            && attack.uringResult < 0 && stoppedVCPU != nil && conversions == conversionsAsked
            && violations == 0
    }
}

extension VirtualMachine {
    /// Lets the first device of `plan` attack a private page, and a vCPU use a page of the wrong type, with private
    /// pages write-protected in the device.
    public func trial(_ plan: TurnPlan) throws(MachineError) -> Trial {
        var plan = plan
        plan.settings.enforces = true
        let guest = try boot(plan).hosted
        let devices = TurnDevices(self, plan, guest)
        defer { devices.joinServices() }
        do throws(MachineError) {
            try devices.start(.attack)
            // A private page with a canary, which nobody ever shares.
            try devices.handles[0].attack(plan.map.free.start)
            let attack = try devices.answers()[0].attack
            let vcpus = TrialVCPUs(
                machine: self, processor: plan.processors.vcpus[0],
                handler: PSCHandler(guest.host), map: plan.map)
            let (stopped, conversions) = try system { () throws(SystemError) in try vcpus.run() }
            try devices.checkServices()
            guest.oracle.checkPrivatePages(
                arena.table, except: plan.map.targetRanges)
            return Trial(
                attack: attack, stoppedVCPU: stopped, conversions: conversions,
                conversionsAsked: TrialVCPUs.conversionsAsked,
                violations: guest.oracle.violations)
        } catch {
            throw devices.clearUp(after: error)
        }
    }
}

/// The vCPUs of a trial.
struct TrialVCPUs {
    static let conversionsAsked = 64
    let machine: VirtualMachine
    let processor: Int
    let handler: PSCHandler
    let map: MemoryMap

    /// One vCPU uses the first page of a buffer as its own, which is shared: it is stopped there. Another one goes on
    /// converting pages that nobody else uses.
    func run() throws(SystemError) -> (stopped: GFN?, conversions: Int) {
        let outcome = Outcome()
        let wrong = map.buffers[0].page(0)
        let free = map.free.lower + 1
        let (handler, asked) = (handler, Self.conversionsAsked)
        let careless = JoinableThread(
            try machine.startThread("vcpu-careless", on: processor) {
                if handler.stopsAccess(to: wrong, asPrivate: true) { outcome.stopped = wrong }
            })
        let other = JoinableThread(
            try machine.startThread("vcpu-other", on: processor) {
                let page = PageRange(start: free, count: 1)
                for index in 0..<asked {
                    let answer = handler.changePageState(
                        page, toPrivate: index % 2 == 1, due: 0)
                    if answer == .done { outcome.conversions += 1 }
                }
            })
        careless.join()
        other.join()
        return (outcome.stopped, outcome.conversions)
    }

    /// Each field is one thread's, until that has been joined.
    private final class Outcome: @unchecked Sendable {
        var stopped: GFN?
        var conversions = 0
    }
}
