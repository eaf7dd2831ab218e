import DmaLinux
import DmaWriter
import Guest
import GuestMemory
import Oracle
import PinLock
import Settings
import Telemetry
import VirtualDevice

/// One guest with its memory, its devices and what they share: made once per run, reused for every turn.
public final class VirtualMachine {
    let memory: SharedMapping
    package let clock: TickClock
    let ledger: SharedMapping
    package let devices: [DeviceHandle]
    /// Notified where a vCPU has come to its end.
    package let finished: Interrupt
    /// Devices have been killed: no other turn is to be had.
    package var hasLostDevices = false
    package private(set) var arena: Arena
    private var secondMemory: SharedMapping?
    /// Guests that have been set up before; nil where all memory was touched at the start.
    private var rehearsed: Set<String>?

    /// Starts device processes for guests of up to `pages` in `memory`, which has been prefaulted.
    ///
    /// The calling thread must live as long as the machine. Each device is bound to its processor of `deviceProcessors`.
    /// A sparse guest's metadata is touched as it is used, any other's now.
    public init(
        memory: SharedMapping, pages: PageCount, isSparse: Bool, deviceProcessors: [Int],
        clock: TickClock
    ) throws(SystemError) {
        self.memory = memory
        self.clock = clock
        arena = try Arena.create(pages: pages, entrySize: .small)
        ledger = try SharedMapping.create(
            name: "dma-bench-ledger", byteCount: ConversionLedger.byteCount(pages: pages))
        if isSparse {
            rehearsed = []
        } else {
            try arena.populate()
            try ledger.populate(0..<ledger.byteCount)
        }
        finished = Interrupt(try .event())
        var devices: [DeviceHandle] = []
        for (index, processor) in deviceProcessors.enumerated() {
            devices.append(
                try DeviceHandle(
                    DeviceID(index), processor: processor, memory: memory,
                    arena: arena.mapping,
                    ledger: ledger))
        }
        self.devices = devices
    }

    deinit { for device in devices { device.shutDown() } }

    /// The device processes' numbers.
    public var deviceProcesses: [Int32] { devices.map(\.process.pid) }

    /// Makes the tables of a guest of so many pages wholly private and unpinned, with nothing converted yet.
    func reset(
        pages: PageCount, entrySize: EntrySize, shouldStop: () -> Bool
    ) throws(SystemError) {
        arena = try arena.reset(pages: pages, entrySize: entrySize, shouldStop: shouldStop)
        try ledger.zero(shouldStop: shouldStop)
    }

    /// Where private pages lie that have frames of their own; made at the first need.
    func privateFrames(pages: PageCount) throws(SystemError) -> GuestView {
        if secondMemory == nil {
            secondMemory = try SharedMapping.create(
                name: "dma-bench-private", byteCount: memory.byteCount)
        }
        return GuestView(secondMemory!, pages: pages)
    }

    /// Whether a guest like this has been set up before with this strategy: what that touches is in memory then.
    package func isRehearsed(_ settings: TurnSettings, _ map: MemoryMap) -> Bool {
        guard rehearsed != nil else { return true }
        let guest =
            "\(settings.strategy.type.info.name) \(settings.entrySize) \(map.buffers.map(\.shape)) \(map.targets.map(\.shape))"
        return !rehearsed!.insert(guest).inserted
    }

    /// Runs `body` on a thread of its own, on that processor.
    package func startThread(
        _ name: String, on processor: Int, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> WorkerThread {
        try WorkerThread(name: name) {
            // It was checked when the run began; where the thread ran in the end is in the row.
            try? Processors.bind(to: processor)
            body()
        }
    }
}

/// An event descriptor that several threads share: what one side wakes the other through.
package final class Interrupt: Sendable {
    package let descriptor: FileDescriptor

    package func notify() { descriptor.notify() }

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// Sleeps until notified, or until then.
    func wait(until deadline: Deadline) { _ = descriptor.waitNotified(until: deadline) }
}
