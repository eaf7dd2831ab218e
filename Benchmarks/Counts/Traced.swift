import CCounts
import DmaLinux
import Glibc
import GuestMemory
import PinLock

/// What a pin, or an unpin, did: numbers of instructions, and the arena's lines that it touched.
struct Tally {
    var instructions: UInt64 = 0
    var locked: UInt64 = 0
    var systemCalls: UInt64 = 0
    var read: Set<Int> = []
    var written: Set<Int> = []
}

/// A device in a process of its own that pins a list and unpins it, with somebody who counts.
struct TracedDevice {
    let pin: Tally
    let unpin: Tally

    /// A step takes some microseconds: what goes from page to page for a GiB is not followed to its end.
    static let limit: UInt64 = 100_000

    /// The device does everything twice before: the first time something may be allocated, or looked up for good.
    init<Strategy: PinStrategy>(
        _ id: DeviceID, of strategy: Strategy, memory: SharedMapping, _ list: [PageRange]
    ) throws {
        let (near, far) = try FileDescriptor.packetPair()
        let child = ccounts_fork()
        if child == 0 {
            close(near)
            let surroundings = DeviceSurroundings(memory: GuestView(memory), hypervisor: far)
            _exit(Self.run(id, strategy, surroundings, list) ? 0 : 1)
        }
        close(far)
        let service =
            Strategy.info.isServed
            ? JoinableThread(
                try WorkerThread(name: "serve") {
                    try? strategy.serve(id, on: near) { _ in false }
                }) : nil
        defer {
            close(near)
            service?.join()
        }
        guard ccounts_skip(child) else {
            throw Failure.died
        }
        let arena = strategy.arena.mapping
        // What lies between two marks with nothing in between is the marks' own.
        let empty = try Self.follow(child, arena)
        pin = try Self.follow(child, arena).without(empty)
        unpin = try Self.follow(child, arena).without(empty)
        guard ccounts_end(child) == 0 else { throw Failure.died }
    }

    enum Failure: Error, CustomStringConvertible {
        case died
        case tooLong

        var description: String {
            switch self {
            case .died: "a device has died"
            case .tooLong: "more than \(TracedDevice.limit) instructions"
            }
        }
    }

    // MARK: In the device

    private static func run<Strategy: PinStrategy>(
        _ id: DeviceID, _ strategy: Strategy, _ surroundings: DeviceSurroundings,
        _ list: [PageRange]
    ) -> Bool {
        do {
            let device = try strategy.pinner(for: id, in: surroundings)
            try device.register(list)
            for _ in 0..<2 { device.unpin(try device.pin(list.span)) }
            ccounts_mark()
            ccounts_mark()
            let pin = try device.pin(list.span)
            ccounts_mark()
            device.unpin(pin)
            ccounts_mark()
            return true
        } catch {
            note("\(id) under \(Strategy.info.name): \(error)")
            return false
        }
    }

    // MARK: In its hypervisor

    private static func follow(_ child: pid_t, _ arena: SharedMapping) throws -> Tally {
        let words = (arena.byteCount / 64 + 63) / 64
        let lines = [0, 1].map { _ in
            UnsafeMutablePointer<UInt64>(OpaquePointer(calloc(words, 8))!)
        }
        defer { for line in lines { free(line) } }
        var tally = ccounts_tally()
        tally.lines_read = lines[0]
        tally.lines_written = lines[1]
        guard ccounts_follow(child, arena.base, arena.byteCount, Self.limit, &tally) else {
            throw tally.instructions < Self.limit ? Failure.died : Failure.tooLong
        }
        func set(_ bits: UnsafeMutablePointer<UInt64>) -> Set<Int> {
            var found: Set<Int> = []
            for word in 0..<words where bits[word] != 0 {
                for bit in 0..<64 where bits[word] >> bit & 1 != 0 { found.insert(64 * word + bit) }
            }
            return found
        }
        return Tally(
            instructions: tally.instructions, locked: tally.locked,
            systemCalls: tally.system_calls, read: set(lines[0]), written: set(lines[1]))
    }
}

extension Tally {
    fileprivate func without(_ floor: Tally) -> Tally {
        var rest = self
        rest.instructions -= floor.instructions
        rest.locked -= floor.locked
        rest.systemCalls -= floor.systemCalls
        return rest
    }
}
