import DmaLinux
import Glibc
import Testing

@testable import VhostUser

/// A device that answers reads with a boot sector, one request at a time.
final class ReadingDevice {
    let session: Session
    private(set) var served = 0
    private(set) var stops = 0
    private(set) var marks = 0
    private(set) var hasEnded = false
    private(set) var again: [UInt16] = []
    private(set) var effects: [Effect] = []
    private var log: InflightQueue?
    private var next: UInt16 = 0
    private var rings: QueueRings?
    private var kick: EventDescriptor?

    init(_ connection: consuming Connection, offersAccessPlatform: Bool = false) throws {
        session = try Session(
            BlockDevice(capacityInSectors: 2048, offersAccessPlatform: offersAccessPlatform))
        session.connection = connection
    }

    func run(until deadline: Deadline, _ isEnough: () -> Bool) throws {
        while !isEnough(), !deadline.hasPassed, !hasEnded {
            if let head = fetch() {
                finish(head)
                continue
            }
            try wait()
        }
    }

    /// Notes a request as fetched, and does nothing for it.
    func fetchOne(until deadline: Deadline) throws -> UInt16? {
        while !deadline.hasPassed, !hasEnded {
            if let head = fetch() { return head }
            try wait()
        }
        return nil
    }

    private func wait() throws {
        var numbers = [session.connection.descriptor]
        if let kick { numbers.append(kick.raw) }
        let ready = try FileDescriptor.readable(numbers, milliseconds: 20)
        if ready & 2 != 0, let kick {
            var count: UInt64 = 0
            _ = read(kick.raw, &count, 8)
        }
        if ready & 1 != 0 { try listen() }
    }

    private func listen() throws {
        while true {
            switch try session.connection.receive() {
            case .nothing: return
            case .end:
                hasEnded = true
                return
            case .message(let message):
                let answer = try session.backend.handle(message)
                effects.append(answer.effect)
                switch answer.effect {
                case .queueStarted(0): try start()
                case .stopQueues([0]):
                    stops += 1
                    (rings, kick) = (nil, nil)
                    if let reply = session.backend.queuesStopped(at: [next]) {
                        try session.connection.send(reply)
                    }
                default: break
                }
                if let reply = answer.reply { try session.connection.send(reply) }
            }
        }
    }

    private func start() throws {
        let queue = session.queues[0]
        (rings, kick) = (queue.rings, queue.kick)
        log = session.inflight?.queue(0)
        #expect(session.inflight != nil, "QEMU keeps a log of requests under way")
        let start = try ResumePoint(queue.rings!, base: queue.base, in: session.memory, log: &log)
        (next, again) = (start.next, start.again)
        for head in start.again { finish(head) }
    }

    private func load<Word: BitwiseCopyable>(_ address: UInt64, _: Word.Type) -> Word {
        session.memory.pointer(toGuest: address, byteCount: 16)!.loadUnaligned(as: Word.self)
    }

    private func fetch() -> UInt16? {
        guard session.mayServe(0), let rings, next != load(rings.availableRing + 2, UInt16.self)
        else { return nil }
        let place = rings.availableRing + 4 + 2 * UInt64(next % UInt16(rings.size))
        let head = load(place, UInt16.self)
        log?.begin(head)
        next &+= 1
        return head
    }

    /// Reads sector 2 into 0x8000, again and again (INT 13h, function 2).
    private static let bootSector: [UInt8] =
        [
            0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0, 0xBB, 0x00, 0x80, 0xB8, 0x01, 0x02, 0xB9, 0x02,
            0x00, 0xBA, 0x80, 0x00, 0xCD, 0x13, 0xEB, 0xEA,
        ] + [UInt8](repeating: 0, count: 488) + [0x55, 0xAA]

    private func finish(_ head: UInt16) {
        guard let rings else { return }
        let memory = session.memory
        var index = head
        while true {
            let place = rings.descriptorTable + 16 * UInt64(index)
            let (address, length) = (load(place, UInt64.self), load(place + 8, UInt32.self))
            let flags = load(place + 12, UInt16.self)
            let data = memory.pointer(toGuest: address, byteCount: UInt64(length))!
            if flags & 2 != 0 {
                for byte in 0..<Int(length) {
                    let value = length == 1 ? 0 : Self.bootSector[byte % 512]
                    data.storeBytes(of: value, toByteOffset: byte, as: UInt8.self)
                }
                mark(address, UInt64(length))
            }
            if flags & 1 == 0 { break }
            index = load(place + 14, UInt16.self)
        }
        let used = memory.pointer(toGuest: rings.usedRing, byteCount: rings.usedRingByteCount)!
        let position = used.load(fromByteOffset: 2, as: UInt16.self)
        let entry = 4 + 8 * Int(position % UInt16(rings.size))
        used.storeBytes(of: UInt32(head), toByteOffset: entry, as: UInt32.self)
        used.storeBytes(of: 513, toByteOffset: entry + 4, as: UInt32.self)
        log?.willPublish(head)
        used.storeBytes(of: position &+ 1, toByteOffset: 2, as: UInt16.self)
        log?.didPublish(usedIndex: position &+ 1)
        if let start = session.queues[0].addresses?.usedRingLog {
            mark(start, rings.usedRingByteCount)
        }
        session.queues[0].call?.notify()
        served += 1
    }

    /// While the guest migrates, what was written.
    private func mark(_ address: UInt64, _ byteCount: UInt64) {
        guard session.features.contains(.logAll), let log = session.dirtyLog else { return }
        #expect(log.mark(address, byteCount: byteCount))
        marks += 1
    }
}
