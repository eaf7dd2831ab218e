import DmaLinux
import Glibc
import GuestMemory
import Synchronization
import Testing

@testable import VhostUser

/// A VMM and its guest that a test plays: guest memory, queues of 16 entries, mostly one, and the vhost-user front-end's
/// side.
///
/// A request has three descriptors; those of number n are 3 n and the two behind it, so that five can be under way.
final class ScriptedVMM {
    static let pages: UInt64 = 256
    static let userStart: UInt64 = 1 << 44
    static let size = 16
    private static let (table, available, used): (UInt64, UInt64, UInt64) = (0x1000, 0x2000, 0x3000)
    private static let (headers, statuses): (UInt64, UInt64) = (0x4000, 0x5000)
    /// From where a queue has all that to where the next one has it.
    private static let stride: UInt64 = 0x8000

    let memory: SharedMapping
    /// Kept from one connection to the next, as QEMU does.
    private var inflight: (SharedMapping, InflightDescription)?
    private var dialled: Dialled?
    private var socket: Dialled { dialled! }
    let kick: FileDescriptor
    let call: FileDescriptor
    private var submitted: [UInt16]

    /// The data of its requests lies behind 32 KiB for each queue.
    init(queues: Int = 1) throws {
        memory = try SharedMapping.create(
            name: "scripted-guest", byteCount: Int(Self.pages) * 4096)
        submitted = Array(repeating: 0, count: queues)
        kick = try .event()
        call = try .event()
    }

    private final class Dialled {
        let stream: StreamSocket
        init(_ stream: consuming StreamSocket) { self.stream = stream }
    }

    // MARK: The front-end

    /// Connects, and starts the queues where they stand; `logs` where requests under way are to be logged.
    func connect(
        to path: String, regions: [RegionDescription]? = nil, logs: Bool = true,
        features: VirtioFeatures = [.version1, .protocolFeatures]
    ) throws {
        try dial(path)
        try send(.setOwner)
        _ = try word(.getFeatures)
        _ = try word(.getProtocolFeatures)
        try send(
            .setProtocolFeatures([
                .configuration, .replyAcknowledge, .sharedInflight, .memorySlots, .sharedLog,
            ]))
        try send(.setFeatures(features))
        if logs { try bringLog() }
        let regions = regions ?? [Self.region]
        try acknowledged(
            .setMemoryTable(regions), regions.map { _ in memory.fileDescriptor })
        for queue in submitted.indices {
            let (number, word) = (UInt8(queue), UInt32(queue))
            try send(.setQueueSize(queue: word, UInt32(Self.size)))
            try send(.setQueueBase(queue: word, UInt32(usedIndex(of: queue))))
            try send(.setQueueAddresses(queue: word, Self.addresses(of: queue)))
            try send(.setCall(queue: number, hasDescriptor: true), [call.raw])
            try send(.setKick(queue: number, hasDescriptor: true), [kick.raw])
            try acknowledged(.setQueueEnabled(queue: word, true))
        }
    }

    static var region: RegionDescription {
        RegionDescription(
            guestAddress: 0, byteCount: pages * 4096, userAddress: userStart)
    }

    static func addresses(
        of queue: Int = 0, usedRingLog: UInt64? = nil
    ) -> QueueAddresses {
        let start = userStart + stride * UInt64(queue)
        return QueueAddresses(
            descriptorTable: start + table, usedRing: start + used,
            availableRing: start + available, usedRingLog: usedRingLog)
    }

    /// Connects and says nothing; the listener may not be there yet.
    func dial(_ path: String) throws {
        let deadline = Deadline.after(milliseconds: 20_000)
        while true {
            do throws(SystemError) {
                dialled = Dialled(try StreamListener.connect(to: path))
                return
            } catch {
                guard !deadline.hasPassed else { throw error }
                DmaLinux.sleep(until: .after(milliseconds: 5))
            }
        }
    }

    func hangUp() { dialled = nil }

    /// Says nothing more, in the midst of a message.
    func hangUpHalf() { shutdown(socket.stream.descriptor.raw, Int32(SHUT_WR)) }

    private func bringLog() throws {
        if inflight == nil {
            let wanted = InflightDescription(
                queueCount: UInt16(submitted.count), queueSize: UInt16(Self.size))
            try send(.getInflight(wanted))
            let (payload, descriptor) = try reply()
            let byteCount = payload.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            let number = try #require(descriptor)
            let log = try SharedMapping(mapping: FileDescriptor(owning: number), name: "log")
            inflight = (
                log,
                InflightDescription(
                    byteCount: byteCount, queueCount: UInt16(submitted.count),
                    queueSize: UInt16(Self.size))
            )
        }
        try send(.setInflight(inflight!.1), [inflight!.0.fileDescriptor])
    }

    /// Requests of the first queue that the log has as under way.
    var logged: Int {
        guard let log = inflight?.0 else { return 0 }
        return (0..<Self.size).count {
            log.base.load(fromByteOffset: 16 + 16 * $0, as: UInt8.self) == 1
        }
    }

    func send(_ request: Request, _ descriptors: [Int32] = [], needsReply: Bool = false) throws {
        try send(bytes: request.bytes(needsReply: needsReply), descriptors)
    }

    func send(bytes: [UInt8], _ descriptors: [Int32] = []) throws {
        let isSent = try socket.stream.send(bytes, descriptors: descriptors)
        try #require(isSent)
    }

    /// Asks for something that has a number for its answer.
    func word(_ request: Request) throws -> UInt64 {
        try send(request)
        return try reply().payload.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    }

    /// Asks, and waits until it is done.
    func acknowledged(_ request: Request, _ descriptors: [Int32] = []) throws {
        try send(request, descriptors, needsReply: true)
        let (payload, _) = try reply()
        try #require(payload == [UInt8](repeating: 0, count: 8), "\(request.code.name)")
    }

    /// The next answer; throws where the other side goes instead.
    func reply() throws -> (payload: [UInt8], descriptor: Int32?) {
        var bytes: [UInt8] = []
        var descriptors = ReceivedDescriptors()
        var wanted = MessageHeader.byteCount
        while bytes.count < wanted {
            let isThere = try socket.stream.waitReadable(milliseconds: 20_000)
            try #require(isThere, "no answer")
            var part = [UInt8](repeating: 0, count: wanted - bytes.count)
            let received = try part.withUnsafeMutableBytes {
                try socket.stream.receive(into: $0, descriptors: &descriptors)
            }
            guard case .bytes(let count) = received else { throw Gone() }
            bytes += part[..<count]
            if wanted == MessageHeader.byteCount, bytes.count == wanted {
                wanted += Int(try MessageHeader(decoding: bytes).payloadByteCount)
            }
        }
        var descriptor: Int32?
        if let taken = descriptors.take() { descriptor = fcntl(taken.raw, F_DUPFD_CLOEXEC, 3) }
        return (Array(bytes[MessageHeader.byteCount...]), descriptor)
    }

    struct Gone: Error {}

    /// Whether the other side has closed the connection, within a time that is for ever.
    func isSentAway() -> Bool {
        eventually {
            var descriptors = ReceivedDescriptors()
            var part = [UInt8](repeating: 0, count: 4096)
            let received = try? part.withUnsafeMutableBytes {
                try socket.stream.receive(into: $0, descriptors: &descriptors)
            }
            return received == .end || received == nil
        }
    }

    // MARK: The guest

    private func word<Word: AtomicRepresentable>(
        _ address: UInt64, _: Word.Type = Word.self
    ) -> UnsafeMutablePointer<Atomic<Word>> {
        (memory.base + Int(address)).assumingMemoryBound(to: Atomic<Word>.self)
    }

    var usedIndex: UInt16 { usedIndex(of: 0) }

    private func usedIndex(of queue: Int) -> UInt16 {
        word(Self.stride * UInt64(queue) + Self.used + 2, UInt16.self).pointee
            .load(ordering: .acquiring)
    }

    /// Makes request number `slot`, 0 to 4, available, without a kick: `pages` pages of data at `address`.
    func submit(
        _ type: UInt32, sector: UInt64, at address: UInt64 = 0, byteCount: UInt64 = 0,
        slot: Int = 0, queue: Int = 0
    ) {
        let head = UInt16(3 * slot)
        let start = Self.stride * UInt64(queue)
        let header = start + Self.headers + 16 * UInt64(slot)
        word(header, UInt32.self).pointee.store(type, ordering: .relaxed)
        word(header + 8, UInt64.self).pointee.store(sector, ordering: .relaxed)
        let status = start + Self.statuses + UInt64(slot)
        word(status, UInt8.self).pointee.store(0xFF, ordering: .relaxed)
        func describe(_ index: UInt16, _ address: UInt64, _ length: UInt64, _ flags: UInt16) {
            let place = start + Self.table + 16 * UInt64(index)
            word(place, UInt64.self).pointee.store(address, ordering: .relaxed)
            word(place + 8, UInt32.self).pointee.store(UInt32(length), ordering: .relaxed)
            word(place + 12, UInt16.self).pointee.store(flags, ordering: .relaxed)
            word(place + 14, UInt16.self).pointee.store(index + 1, ordering: .relaxed)
        }
        if byteCount > 0 {
            describe(head, header, 16, 1)
            describe(head + 1, address, byteCount, type == 1 ? 1 : 3)
        } else {
            describe(head, header, 16, 1)
            word(start + Self.table + 16 * UInt64(head) + 14, UInt16.self).pointee.store(
                head + 2, ordering: .relaxed)
        }
        describe(head + 2, status, 1, 2)
        let place = start + Self.available + 4 + 2 * UInt64(submitted[queue] % UInt16(Self.size))
        word(place, UInt16.self).pointee.store(head, ordering: .relaxed)
        submitted[queue] &+= 1
        word(start + Self.available + 2, UInt16.self).pointee.store(
            submitted[queue], ordering: .releasing)
    }

    /// Whether the guest waits for nothing.
    var isIdle: Bool { submitted.indices.allSatisfy { usedIndex(of: $0) == submitted[$0] } }

    /// Whether all that was submitted has been used, within a time that is for ever.
    func isDone(within seconds: UInt64 = 30) -> Bool {
        kick.notify()
        return eventually(within: seconds) { isIdle }
    }

    /// The status byte of a request; 0xFF where none was written.
    func status(_ slot: Int = 0) -> UInt8 {
        word(Self.statuses + UInt64(slot), UInt8.self).pointee.load(ordering: .acquiring)
    }

    /// A request from submission to its status.
    func ask(
        _ type: UInt32, sector: UInt64, at address: UInt64 = 0, byteCount: UInt64 = 0
    ) throws -> UInt8 {
        submit(type, sector: sector, at: address, byteCount: byteCount)
        let isDone = isDone()
        try #require(isDone, "the request does not come back")
        return status()
    }

    /// Bytes of guest memory.
    func bytes(at address: UInt64, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: memory.base + Int(address), count: count)
    }
}
