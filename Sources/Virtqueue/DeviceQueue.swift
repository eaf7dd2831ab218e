import GuestMemory

/// The device's side of a virtqueue: a process that serves requests of a guest it does not trust.
///
/// Everything in guest memory may be anything and may change between two reads, so each datum is
/// read once, into private memory, then checked, then used. The device never reads what it writes:
/// its indices are private. What a hostile guest gets is an answer about its own request, a wrong
/// status in its own queue area, or a queue that is broken until it is reset.
///
/// One thread at a time uses it. Nothing is allocated per request.
public struct DeviceQueue: ~Copyable {
    /// Keeps the rings mapped.
    private let memory: GuestView
    private let available: Ring
    private let used: Ring
    private let chains: ChainReader
    private let queueSize: Int

    private var availableIndex: UInt16
    private var usedIndex: UInt16
    /// Of what the driver was told last, or need not be.
    private var notifiedIndex: UInt16?
    private var broken: BrokenQueue?

    /// The queue that lies at these addresses. The pages of `registered` stay shared for as long as it is served: the
    /// rings', and others in which the driver keeps headers, indirect tables and status bytes.
    ///
    /// One that is taken over goes on where the device before it stopped: at the index of the available ring that it would
    /// have taken next, and of the used ring that it would have written next; as if just reset, both are 0. The driver's
    /// side is made first.
    public init(
        _ rings: VirtqueueRings, registered: [PageRange], in memory: GuestView,
        available: UInt16 = 0, used: UInt16 = 0
    ) throws(RingError) {
        var pages: [RegisteredPages] = []
        for range in registered { pages.append(try RegisteredPages(range, in: memory)) }
        let table = try rings.location(of: .descriptorTable, in: memory)
        let (availableRing, usedRing) = (
            try rings.location(of: .availableRing, in: memory),
            try rings.location(of: .usedRing, in: memory)
        )
        self.memory = memory
        queueSize = rings.queueSize
        self.available = .available(of: rings, at: availableRing)
        self.used = .used(of: rings, at: usedRing)
        chains = ChainReader(
            table: DescriptorTable(base: table, count: rings.queueSize), registered: pages)
        availableIndex = available
        usedIndex = used
    }

    /// Requests taken and not yet completed.
    public var inFlight: Int { Int(availableIndex &- usedIndex) }

    /// Takes the next available request, with acquire, into `request`, whose storage it reuses. Its data lies in `memory`;
    /// what is to be read of it and is not registered, `reader` copies.
    ///
    /// An invalid request is in flight too: the caller completes it with an error.
    public mutating func next<Reader: GuestReader & ~Copyable>(
        into request: inout DeviceRequest, from memory: GuestView, reading reader: inout Reader
    ) -> NextRequest {
        if let broken { return .broken(broken) }
        let ahead = Int(available.published() &- availableIndex)
        guard ahead > 0 else { return .empty }
        // Each available request holds a descriptor until it is used, so no driver has more than
        // the queue's size of them (2.7.13); and an index that went back (2.7.6.1) looks as if it
        // were far ahead.
        guard ahead <= queueSize - inFlight else {
            return fail(.availableIndexRanAhead(by: ahead, room: queueSize - inFlight))
        }
        let head = available.availableHead(at: availableIndex)
        guard head < queueSize else { return fail(.headOutOfRange(head)) }
        availableIndex &+= 1
        request.start(head: head)
        do throws(BadRequest) {
            let unknown = try chains.read(into: &request, from: memory, reading: &reader)
            return unknown.map { .unsupported($0) } ?? .valid
        } catch {
            request.discardData()
            return .invalid(error)
        }
    }

    /// Marks a request used: status, used element, then the index with release (2.7.8.2).
    ///
    /// The status is written here where its place is registered; elsewhere the caller has written it under a pin, or
    /// nobody has. Non-temporal stores of data must be fenced before: a release does not order them.
    public mutating func complete(
        _ request: inout DeviceRequest, with status: RequestStatus, bytesWritten: UInt64 = 0
    ) {
        precondition(inFlight > 0, "request \(request.head) is completed, but none is in flight")
        if !request.statusNeedsPin { request.write(status) }
        used.setUsedElement(
            head: UInt32(request.head), length: request.usedLength(bytesWritten: bytesWritten),
            at: usedIndex)
        usedIndex &+= 1
        used.publish(usedIndex)
    }

    // MARK: Notifications, for callers that do not poll

    /// Whether the driver is to be told of the requests completed so far (2.7.7.2).
    public mutating func driverWantsNotification() -> Bool {
        defer { notifiedIndex = usedIndex }
        return used.wantsNotification(of: usedIndex, since: notifiedIndex, by: available)
    }

    /// Tells the driver that submissions need no notification (2.7.10).
    public func suppressNotifications() { used.suppressNotifications() }

    /// Asks for notifications; true where a request became available meanwhile, so that the caller
    /// must not sleep.
    public func enableNotifications() -> Bool {
        used.enableNotifications(by: available, from: availableIndex) != availableIndex
    }

    private mutating func fail(_ reason: BrokenQueue) -> NextRequest {
        broken = reason
        return .broken(reason)
    }
}

// It has no state but its own, and guest memory is only touched through atomics.
extension DeviceQueue: @unchecked Sendable {}
