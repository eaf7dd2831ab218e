import DmaWriter
import Guest
import GuestMemory
import Linux
import PinLock
import Telemetry
import VirtualDevice

/// One guest with its memory, its devices and what they share: made once per run, reused for every turn.
public final class VirtualMachine {
    let memory: SharedMapping
    let clock: TickClock
    let ledger: SharedMapping
    let devices: [DeviceHandle]
    /// What devices tell the driver through, where it sleeps.
    let call: Interrupt
    private(set) var arena: Arena
    private let vcpuProcessor: Int?
    /// What the thread that made the machine could run on before it was bound.
    private let everywhere: [Int]
    private var secondMemory: SharedMapping?
    /// Guests that have been set up before; nil where all memory was touched at the start.
    private var rehearsed: Set<String>?

    /// Starts `deviceCount` device processes for guests of up to `pages` in `memory`, which has been prefaulted.
    ///
    /// The calling thread must live as long as the machine. It is bound to `vcpuProcessor`, as the vCPUs will be; the
    /// devices take turns with `deviceProcessors`. A sparse guest's metadata is touched as it is used, any other's now.
    public init(
        memory: SharedMapping, pages: PageCount, isSparse: Bool, deviceCount: Int,
        deviceProcessors: [Int], vcpuProcessor: Int?, clock: TickClock
    ) throws(SystemError) {
        self.memory = memory
        self.clock = clock
        self.vcpuProcessor = vcpuProcessor
        everywhere = try Processors.allowed()
        arena = try Arena.create(pages: pages, entrySize: .small)
        ledger = try SharedMapping.create(
            name: "dma-bench-ledger", byteCount: ConversionLedger.byteCount(pages: pages))
        if isSparse {
            rehearsed = []
        } else {
            try arena.populate()
            try ledger.populate(0..<ledger.byteCount)
        }
        call = Interrupt(try .event())
        var devices: [DeviceHandle] = []
        for index in 0..<deviceCount {
            devices.append(
                try DeviceHandle(
                    DeviceID(index), processor: deviceProcessors[index % deviceProcessors.count],
                    memory: memory,
                    arena: arena.mapping,
                    ledger: ledger, call: call.descriptor))
        }
        self.devices = devices
        if let vcpuProcessor { try Processors.bind(to: vcpuProcessor) }
    }

    deinit { for device in devices { device.shutDown() } }

    /// The device processes' numbers.
    public var deviceProcesses: [Int32] { devices.map(\.process.pid) }

    /// Makes the guest of `plan` wholly private and unpinned, with nothing converted yet.
    func reset(for plan: TurnPlan) throws(SystemError) {
        arena = try arena.reset(pages: plan.map.pages, entrySize: plan.entrySize)
        try ledger.zero()
    }

    /// Where private pages lie under a strategy that gives them frames of their own, made at the first need.
    func privateFrames(for plan: TurnPlan) throws(SystemError) -> GuestView? {
        guard plan.strategy.info.exclusion == .frames else { return nil }
        if secondMemory == nil {
            secondMemory = try SharedMapping.create(
                name: "dma-bench-private", byteCount: memory.byteCount)
        }
        return secondMemory.map { GuestView($0, pages: plan.map.pages) }
    }

    /// Whether a guest like this has been set up before with this strategy: what that touches is in memory then.
    func isRehearsed(_ plan: TurnPlan) -> Bool {
        guard rehearsed != nil else { return true }
        return !rehearsed!.insert(
            "\(plan.strategy.info.name) \(plan.entrySize) \(plan.map.buffers) \(plan.map.targets)"
        )
        .inserted
    }

    /// Runs `body` on a thread of its own, on the vCPUs' processor.
    func startVCPU(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError)
        -> WorkerThread
    {
        try WorkerThread(name: name) { [vcpuProcessor] in
            // It was checked when the machine was made.
            if let vcpuProcessor { try? Processors.bind(to: vcpuProcessor) }
            Processors.sharpenTimers()
            body()
        }
    }
}

extension VirtualMachine {
    /// Runs `body` on a thread of its own, on any processor the harness started with.
    func startService(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError)
        -> WorkerThread
    {
        try WorkerThread(name: name) { [everywhere] in
            try? Processors.allow(everywhere)
            body()
        }
    }
}

/// An event descriptor that several threads share.
final class Interrupt: Sendable {
    let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// Sleeps until notified, or 20 ms, so that its caller looks around now and then.
    func wait() { _ = descriptor.waitNotified(timeoutMilliseconds: 20) }
}
