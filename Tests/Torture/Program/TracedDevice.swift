import CTorture
import DmaLinux
import Glibc
import GuestMemory
import PinLock

/// A device in a process of its own, which does what the scenario says, an instruction at a time.
///
/// It marks the end of each stage by stopping itself. Its hypervisor's part, where the strategy has one, runs on a
/// thread here.
final class TracedDevice {
    enum Stop: Equatable {
        case stepped, mark, blocked
        case exited(Int32)
        /// About to get a signal that nobody sent.
        case signalled(Int32)
    }

    let id: DeviceID
    private let pid: pid_t
    private var isAlive = true
    private let service: JoinableThread?
    /// The hypervisor's end of the service's socket.
    private let near: FileDescriptor

    init<S: PinStrategy>(
        _ id: DeviceID, of strategy: S, memory: SharedMapping, _ scenario: Scenario
    ) throws(SystemError) {
        self.id = id
        let (nearEnd, farEnd) = try FileDescriptor.packetPair()
        near = FileDescriptor(owning: nearEnd)
        let far = FileDescriptor(owning: farEnd)
        pid = ctorture_fork()
        if pid == 0 {
            close(nearEnd)
            _exit(
                Self.run(
                    S.self, id, scenario, arena: strategy.arena.mapping.fileDescriptor,
                    memory: memory.fileDescriptor, hypervisor: far.raw))
        }
        service =
            S.info.isServed
            ? JoinableThread(
                try WorkerThread(name: "serve") {
                    try? strategy.serve(id, on: nearEnd) { _ in false }
                }) : nil
    }

    // MARK: In the device

    /// Maps what a device maps, at addresses of its own, and does everything once. The status is zero where all went
    /// well.
    private static func run<S: PinStrategy>(
        _: S.Type, _ id: DeviceID, _ scenario: Scenario, arena: Int32, memory: Int32,
        hypervisor: Int32
    ) -> Int32 {
        do {
            let mapping = try SharedMapping(mapping: .duplicate(arena), name: "pin arena")
            let guest = GuestView(
                try SharedMapping(mapping: .duplicate(memory), name: "guest memory"))
            let strategy = S(arena: try Arena(attaching: mapping))
            let pinner = try strategy.pinner(
                for: id, in: DeviceSurroundings(memory: guest, hypervisor: hypervisor))
            ctorture_mark()
            try pinner.register(scenario.registered)
            ctorture_mark()
            var pins: [Pin] = []
            for ranges in scenario.pins {
                pins.append(try pinner.pin(ranges.span))
                ctorture_mark()
            }
            if let pin = try? pinner.pin(scenario.refused.span) {
                guard !S.info.promisesByPins || !S.info.isSafe else { return 3 }
                pinner.unpin(pin)
            }
            ctorture_mark()
            for pin in pins {
                pinner.unpin(pin)
                ctorture_mark()
            }
            pinner.unregister()
            ctorture_mark()
            return 0
        } catch {
            complain("\(id): \(error)")
            return 2
        }
    }

    // MARK: In its hypervisor

    /// Lets it carry out `count` instructions; fewer where it comes to its mark. It may be blocked for a while where
    /// somebody else stands still.
    func step(_ count: UInt64, patience: UInt32 = 0) -> (stop: Stop, steps: UInt64) {
        var stop = CTORTURE_STEPPED
        var code: Int32 = 0
        let steps = ctorture_run(pid, count, patience, &stop, &code)
        switch stop {
        case CTORTURE_STEPPED: return (.stepped, steps)
        case CTORTURE_MARK: return (.mark, steps)
        case CTORTURE_BLOCKED: return (.blocked, steps)
        case CTORTURE_EXITED:
            isAlive = false
            return (.exited(code), steps)
        default: return (.signalled(code), steps)
        }
    }

    /// Whether the next instruction is a system call.
    var isAtSystemCall: Bool { ctorture_is_at_system_call(pid) }

    /// Lets it run freely to the end of its stage.
    func runToMark(patience: UInt32 = 0) -> Stop {
        step(.max, patience: patience).stop
    }

    /// Ends it here, unless it has come to its end. Nothing of it moves any more: it is reaped, and its service has
    /// ended.
    func kill() {
        if isAlive { ctorture_kill(pid) }
        isAlive = false
        service?.join()
    }

    deinit { kill() }
}
