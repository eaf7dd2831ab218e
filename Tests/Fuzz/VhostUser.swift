import DmaLinux
import Glibc
import GuestMemory
import Synchronization

@testable import VhostUser

// A back-end against a front-end that sends what the fuzzer likes: bytes, messages, descriptors. Then, on the same
// memory, the log of requests under way and the rings, as whoever shares them may have left them.
//
// An input is a list of moves. The first byte chooses: 0 to 40, the request of that number, whose payload comes next, cut or
// filled up to the length that it should have; 41 to 63, as many raw bytes less 40. The top two bits say which
// descriptors go with it: none, as many as belong to it, one too many, or one for one of another kind. An error ends the
// connection, and the next begins.
//
// Promised whatever comes: no trap, no wait, no descriptor left; what the back-end takes for good lies inside what the
// descriptors have, regions never overlap, and a queue that runs has its rings in guest memory.

private let guestPages = 64
private let guest = try! SharedMapping.create(name: "fuzz", byteCount: guestPages * 4096)
private let event = try! FileDescriptor.event()

/// Which of the first 256 descriptors are open.
private func openDescriptors() -> [Int32] { (0..<256).filter { fcntl($0, F_GETFD) != -1 } }

@c(LLVMFuzzerTestOneInput)
public func fuzzVhostUser(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    (_, _) = (guest.base, event.raw)
    let before = openDescriptors()
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    do {
        var moves = Moves(input)
        while !moves.isAtEnd { connect(&moves) }
    }
    let after = openDescriptors()
    precondition(after == before, "\(before) were open, and now \(after)")
    return 0
}

/// One connection, until it is refused or the moves are over.
private func connect(_ moves: inout Moves) {
    let (left, right) = try! StreamSocket.pair()
    let front = StreamSocket(FileDescriptor(owning: left))
    var connection = Connection(StreamSocket(FileDescriptor(owning: right)))
    var backend = Backend(BlockDevice(capacityInSectors: 2048, queueCount: 3))
    while let (bytes, descriptors) = moves.next() {
        guard (try? front.send(bytes, descriptors: descriptors)) == true else { return }
        do throws(ProtocolError) {
            while true {
                switch try connection.receive() {
                case .nothing: break
                case .end: fatalError("the front-end is there")
                case .message(let message):
                    try carryOut(backend.handle(message), &backend, connection)
                    check(backend)
                    continue
                }
                break
            }
        } catch {
            precondition(!error.description.isEmpty)
            return
        }
        drain(front)
    }
}

private func carryOut(
    _ answer: Answer, _ backend: inout Backend, _ connection: borrowing Connection
) throws(ProtocolError) {
    switch answer.effect {
    case .stopQueues(let queues):
        if let reply = backend.queuesStopped(at: queues.map { UInt16($0) &* 7919 }) {
            try connection.send(reply)
        }
    case .queueStarted(let index): resume(backend.queues[index], index, backend)
    default: break
    }
    if let reply = answer.reply { try connection.send(reply) }
}

/// Begins with a queue whose rings, and whose log, are whatever lies there.
private func resume(_ queue: Queue, _ index: Int, _ backend: borrowing Backend) {
    var log = backend.inflight?.queue(index)
    let rings = queue.rings!
    do throws(ResumeFault) {
        let point = try ResumePoint(rings, base: queue.base, in: backend.memory, log: &log)
        precondition(
            point.again.count <= rings.size && Set(point.again).count == point.again.count
                && point.again.allSatisfy { $0 < rings.size }, "\(point)")
        for head in point.again { log?.willPublish(head) }
        log?.didPublish(usedIndex: point.next)
    } catch { precondition(!error.description.isEmpty) }
    backend.queues[index].call?.notify()
}

private func check(_ backend: borrowing Backend) {
    let memory = backend.memory
    for (index, region) in memory.regions.enumerated() {
        precondition(region.byteCount > 0 && region.byteCount <= guestPages * 4096, "\(region)")
        // Its first and its last byte are there, or this faults.
        region.base.assumingMemoryBound(to: Atomic<UInt8>.self).pointee.bitwiseOr(
            1, ordering: .relaxed)
        (region.base + Int(region.byteCount) - 1).assumingMemoryBound(to: Atomic<UInt8>.self)
            .pointee.bitwiseOr(1, ordering: .relaxed)
        for other in memory.regions[..<index] {
            precondition(
                other.guestAddress + other.byteCount <= region.guestAddress,
                "\(other) and \(region) overlap")
        }
    }
    for queue in backend.queues {
        guard let rings = queue.rings else { continue }
        for (address, count) in [
            (rings.descriptorTable, rings.descriptorTableByteCount),
            (rings.availableRing, rings.availableRingByteCount),
            (rings.usedRing, rings.usedRingByteCount),
        ] { precondition(memory.pointer(toGuest: address, byteCount: count) != nil, "\(rings)") }
    }
    if let log = backend.dirtyLog {
        let end = memory.guestEnd
        precondition(!log.mark(end, byteCount: .max) || end == 0)
        precondition(log.mark(0, byteCount: end) == log.covers(0, byteCount: end))
    }
}

private func drain(_ front: borrowing StreamSocket) {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
        var descriptors = ReceivedDescriptors()
        while case .bytes = try! front.receive(into: buffer, descriptors: &descriptors) {}
    }
}

/// The fuzzer's bytes as messages.
private struct Moves {
    private let input: [UInt8]
    private var position = 0

    init(_ input: [UInt8]) { self.input = input }

    var isAtEnd: Bool { position >= input.count }

    private mutating func take(_ count: Int) -> [UInt8] {
        let end = min(position + count, input.count)
        defer { position = end }
        return Array(input[position..<end])
    }

    mutating func next() -> (bytes: [UInt8], descriptors: [Int32])? {
        guard let move = take(1).first else { return nil }
        let kind = Int(move & 63)
        if kind > 40 { return (take(kind - 40), move & 64 == 0 ? [] : [guest.fileDescriptor]) }
        guard let code = RequestCode(rawValue: UInt32(kind)) else { return ([0], []) }
        let needsReply = position & 1 == 0
        var payload = take(Self.payloadByteCount(code, input, position))
        payload += [UInt8](
            repeating: 0, count: Self.payloadByteCount(code, payload, 0) - payload.count)
        let request = try? Request(code, payload: payload)
        var count = request?.descriptorCounts.upperBound ?? 1
        var isEvent = [.setKick, .setCall, .setError].contains(code)
        switch move >> 6 {
        case 0: break
        case 1: count = 0
        case 2: count += 1
        default: isEvent.toggle()
        }
        let header = MessageHeader(
            code, needsReply: needsReply, payloadByteCount: payload.count)
        return (
            header.bytes + payload,
            Array(repeating: isEvent ? event.raw : guest.fileDescriptor, count: min(count, 32))
        )
    }

    /// What the request has, as far as the bytes behind `position` say; at most 3 regions.
    private static func payloadByteCount(
        _ code: RequestCode, _ bytes: [UInt8], _ position: Int
    ) -> Int {
        func byte(_ offset: Int) -> Int {
            position + offset < bytes.count ? Int(bytes[position + offset]) : 0
        }
        switch code {
        case .setFeatures, .setProtocolFeatures, .setStatus, .setKick, .setCall, .setError,
            .setQueueSize, .setQueueBase, .getQueueBase, .setQueueEnabled:
            return 8
        case .setQueueAddresses, .addMemoryRegion, .removeMemoryRegion: return 40
        case .setMemoryTable: return 8 + 32 * min(byte(0), 3)
        case .setLogBase: return 16
        case .getConfiguration, .setConfiguration: return 12 + byte(4)
        case .getInflight, .setInflight: return 24
        default: return 0
        }
    }
}
