import DmaLinux
import Glibc
import Synchronization
import Testing

@testable import VhostUser

/// A front-end that a test plays, over a stream to a back-end in the same thread.
final class FrontEnd {
    private let socket: StreamSocket

    init(socket: consuming StreamSocket) { self.socket = socket }

    func send(
        _ request: Request, _ descriptors: [any HasDescriptor] = [], needsReply: Bool = false
    ) throws {
        try send(request.bytes(needsReply: needsReply), descriptors)
    }

    /// Bytes as they are, right or wrong.
    func send(_ bytes: [UInt8], _ descriptors: [any HasDescriptor] = []) throws {
        let isSent = try socket.send(bytes, descriptors: descriptors.map(\.number))
        withExtendedLifetime(descriptors) {}
        try #require(isSent)
    }

    /// What the back-end has answered; nil where it has not.
    func reply() throws -> ReceivedReply? {
        var descriptors = ReceivedDescriptors()
        var bytes = [UInt8](repeating: 0, count: 4096)
        let received = try bytes.withUnsafeMutableBytes {
            try socket.receive(into: $0, descriptors: &descriptors)
        }
        guard case .bytes(let count) = received else { return nil }
        let header = try MessageHeader(decoding: Array(bytes[..<12]))
        try #require(header.isReply && Int(header.payloadByteCount) == count - 12)
        var descriptor: OwnedDescriptor?
        if let taken = descriptors.take() { descriptor = OwnedDescriptor(taken) }
        return ReceivedReply(
            code: header.code, payload: Array(bytes[12..<count]), descriptor: descriptor)
    }
}

struct ReceivedReply {
    let code: RequestCode
    let payload: [UInt8]
    let descriptor: OwnedDescriptor?

    /// The payload as one number.
    var word: UInt64? {
        payload.count == 8 ? payload.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) } : nil
    }
}

/// What a message can bring: kept open until it is sent, and known by its number.
protocol HasDescriptor { var number: Int32 { get } }
extension SharedMapping: HasDescriptor { var number: Int32 { fileDescriptor } }
extension OwnedDescriptor: HasDescriptor { var number: Int32 { raw } }
/// A number that a test closes itself.
extension Int32: HasDescriptor { var number: Int32 { self } }

/// A descriptor that can be kept in an array, and looked at by #expect.
final class OwnedDescriptor {
    private let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    var raw: Int32 { descriptor.raw }
    /// Whether the event has been notified since the last look.
    func isNotified() -> Bool { descriptor.waitNotified(timeoutMilliseconds: 0) }
}

/// Both ends of a connection, and the back-end behind one of them.
final class Session {
    let front: FrontEnd
    var connection: Connection
    var backend: Backend

    // What the back-end has: #expect takes no value that cannot be copied.
    var features: VirtioFeatures { backend.features }
    var memory: MemoryTable { backend.memory }
    var queues: [Queue] { backend.queues }
    var inflight: InflightLog? { backend.inflight }
    var dirtyLog: DirtyLog? { backend.dirtyLog }
    var isRunning: Bool { backend.isRunning }
    func mayServe(_ queue: Int) -> Bool { backend.mayServe(queue) }

    /// Where a queue says that it has stopped.
    var stopsAt: UInt16 = 0

    init(_ device: BlockDevice = BlockDevice(capacityInSectors: 2048, queueCount: 2)) throws {
        let (left, right) = try StreamSocket.pair()
        front = FrontEnd(socket: StreamSocket(FileDescriptor(owning: left)))
        connection = Connection(StreamSocket(FileDescriptor(owning: right)))
        backend = Backend(device)
    }

    /// Has the back-end do all that has arrived: the effects, but for none.
    @discardableResult
    func pump() throws(ProtocolError) -> [Effect] {
        var effects: [Effect] = []
        while true {
            switch try connection.receive() {
            case .nothing: return effects
            case .end: return effects
            case .message(let message):
                let answer = try backend.handle(message)
                if answer.effect != .none { effects.append(answer.effect) }
                if case .stopQueues(let queues) = answer.effect,
                    let reply = backend.queuesStopped(at: queues.map { _ in stopsAt })
                {
                    try connection.send(reply)
                }
                if let reply = answer.reply { try connection.send(reply) }
            }
        }
    }

    /// Sends a request and has it done.
    @discardableResult
    func ask(
        _ request: Request, _ descriptors: [any HasDescriptor] = [], needsReply: Bool = false
    ) throws -> [Effect] {
        try front.send(request, descriptors, needsReply: needsReply)
        return try pump()
    }

    /// What a request is refused for; nil where it is not.
    func refusal(
        of request: Request, _ descriptors: [any HasDescriptor] = [], needsReply: Bool = false
    ) throws -> ProtocolError? {
        try front.send(request, descriptors, needsReply: needsReply)
        do throws(ProtocolError) {
            try pump()
            return nil
        } catch { return error }
    }

    /// Asks, and takes the one number of the reply.
    func word(_ request: Request, needsReply: Bool = false) throws -> UInt64? {
        try ask(request, needsReply: needsReply)
        guard let reply = try front.reply() else { return nil }
        #expect(reply.code == request.code)
        return reply.word
    }

    func acknowledgeEverything() throws {
        try ask(.setProtocolFeatures(.all))
        try ask(.setFeatures(backend.device.features.subtracting(.logAll)))
    }

    /// As a front-end does: guest memory, and a queue of 8 entries in it, started.
    func startQueue(_ guest: SharedGuest, queue: UInt8 = 0, size: UInt32 = 8) throws {
        try ask(.setMemoryTable([guest.region]), [guest.memory])
        try ask(.setQueueSize(queue: UInt32(queue), size))
        try ask(.setQueueBase(queue: UInt32(queue), 0))
        try ask(.setQueueAddresses(queue: UInt32(queue), guest.addresses))
        let kick = try OwnedDescriptor(.event())
        let effects = try ask(.setKick(queue: queue, hasDescriptor: true), [kick])
        #expect(effects == [.queueStarted(Int(queue))])
    }
}

/// Guest memory as the front-end has it, from guest address 1 MiB on and mapped there at 16 TiB, with a queue's rings.
struct SharedGuest {
    static let guestStart: UInt64 = 1 << 20
    static let userStart: UInt64 = 1 << 44
    let memory: SharedMapping
    let byteCount: UInt64

    init(pages: Int = 16) throws {
        memory = try SharedMapping.create(name: uniqueName(), byteCount: pages * 4096)
        byteCount = UInt64(pages) * 4096
    }

    var region: RegionDescription {
        RegionDescription(
            guestAddress: Self.guestStart, byteCount: byteCount, userAddress: Self.userStart)
    }

    /// Descriptor table, available and used ring in pages of their own.
    var addresses: QueueAddresses {
        QueueAddresses(
            descriptorTable: Self.userStart + 0x1000, usedRing: Self.userStart + 0x3000,
            availableRing: Self.userStart + 0x2000)
    }

    var rings: QueueRings {
        get throws {
            var table = MemoryTable()
            try table.add(MemoryRegion(region, descriptor: .duplicate(memory.fileDescriptor)))
            return try QueueRings(addresses, size: 8, in: table)
        }
    }

    private func word<Word: AtomicRepresentable>(
        _ offset: Int, _: Word.Type
    ) -> UnsafeMutablePointer<Atomic<Word>> {
        (memory.base + offset).assumingMemoryBound(to: Atomic<Word>.self)
    }

    var availableIndex: UInt16 {
        get { word(0x2002, UInt16.self).pointee.load(ordering: .acquiring) }
        nonmutating set { word(0x2002, UInt16.self).pointee.store(newValue, ordering: .releasing) }
    }
    var usedIndex: UInt16 {
        get { word(0x3002, UInt16.self).pointee.load(ordering: .acquiring) }
        nonmutating set { word(0x3002, UInt16.self).pointee.store(newValue, ordering: .releasing) }
    }
    func setAvailable(_ head: UInt16, at index: UInt16) {
        let offset = 0x2004 + 2 * (Int(index) & 7)
        word(offset, UInt16.self).pointee.store(head, ordering: .relaxed)
    }
    func available(at index: UInt16) -> UInt16 {
        word(0x2004 + 2 * (Int(index) & 7), UInt16.self).pointee.load(ordering: .relaxed)
    }
    func setUsed(_ head: UInt16, at index: UInt16) {
        let offset = 0x3004 + 8 * (Int(index) & 7)
        word(offset, UInt32.self).pointee.store(UInt32(head), ordering: .relaxed)
    }
    func used(at index: UInt16) -> UInt16 {
        let offset = 0x3004 + 8 * (Int(index) & 7)
        return UInt16(word(offset, UInt32.self).pointee.load(ordering: .relaxed))
    }
}

private let names = Atomic<Int>(0)

/// A name for a file that no other test has, for telling its copies from other tests' files.
func uniqueName() -> String {
    "vhost-\(getpid())-\(names.wrappingAdd(1, ordering: .relaxed).newValue)e"
}

/// How many descriptors this process has of the same file, event or socket.
func copies(of descriptor: any HasDescriptor) -> Int {
    let wanted = identity(of: "\(descriptor.number)")
    let count = listDirectory("/proc/self/fd").count { identity(of: $0) == wanted }
    withExtendedLifetime(descriptor) {}
    return count
}

/// How many mappings this process has of a file with this name.
func mappings(of name: String) -> Int {
    (readSmallFile("/proc/self/maps", limit: 16 << 20) ?? "").split(separator: "\n").count {
        $0.contains("/memfd:\(name) ")
    }
}

/// What has an inode of its own is known by that; events by what fdinfo says (proc(5)).
private func identity(of descriptor: String) -> String? {
    var target = [UInt8](repeating: 0, count: 256)
    let length = readlink("/proc/self/fd/\(descriptor)", &target, target.count)
    guard length > 0 else { return nil }
    if String(decoding: target.prefix(length), as: UTF8.self) == "anon_inode:[eventfd]" {
        let info = readSmallFile("/proc/self/fdinfo/\(descriptor)") ?? ""
        return info.split(separator: "\n").first { $0.hasPrefix("eventfd-id") }.map(String.init)
    }
    var status = stat()
    guard stat("/proc/self/fd/\(descriptor)", &status) == 0 else { return nil }
    return "\(status.st_dev) \(status.st_ino)"
}
