import GuestMemory

/// The driver's side of a virtqueue: the guest submits DMA requests and polls for their completion.
///
/// A request owns a *slot* from `prepare` to `release`: a few neighbouring entries of the
/// descriptor table, an indirect table, a header and a status. A short chain lies in the entries; a
/// longer one in the indirect table, and one entry refers to it. So there is always a descriptor
/// for a free slot, a chain once built is submitted again and again without a word of it being
/// written, and nothing is allocated for that.
///
/// One thread at a time uses it. All state is private to the driver; from the used ring it believes
/// only what fits.
public struct DriverQueue: ~Copyable {
    public let layout: VirtqueueLayout
    public let area: PageRange

    private let view: GuestView
    private let base: UnsafeMutableRawPointer
    private let available: Ring
    private let used: Ring
    private let entriesPerSlot: Int

    private var slots: [Slot]
    private var freeSlots: [Int]
    private var availableIndex: UInt16 = 0
    private var usedIndex: UInt16 = 0
    /// Of what the device was told last, or need not be.
    private var notifiedIndex: UInt16?

    /// A chain up to this length uses the descriptor table itself: what one cache line holds.
    private static let directLimit = 4

    private struct Slot {
        enum State { case free, prepared, outstanding }
        var state = State.free
        var releasesAtCompletion = false
        var generation: UInt64 = 0
        var type = RequestType.in
    }

    /// Resets both rings, so it comes before the device's side of the same queue.
    public init(
        _ layout: VirtqueueLayout, at start: GFN, in view: GuestView, usesEventIndex: Bool = false
    ) {
        self.layout = layout
        area = layout.area(at: start)
        self.view = view
        base = view.pointer(to: area)
        let rings = layout.rings(at: start, usesEventIndex: usesEventIndex)
        available = .available(of: rings, at: base + layout.availableRingOffset)
        used = .used(of: rings, at: base + layout.usedRingOffset)
        entriesPerSlot = min(Self.directLimit, layout.queueSize / layout.requests)
        slots = Array(repeating: Slot(), count: layout.requests)
        freeSlots = Array((0..<layout.requests).reversed())
        available.reset()
        used.reset()
    }

    /// Requests submitted and not yet completed.
    public var outstanding: Int { Int(availableIndex &- usedIndex) }

    /// Builds the chain for `data`, in the order given, to be submitted any number of times until
    /// it is released.
    public mutating func prepare(
        _ type: RequestType = .in, data: [PageRange]
    ) throws(PrepareError) -> PreparedRequest {
        let needed = data.reduce(0) { $0 + Self.descriptorCount(for: $1) }
        guard needed > 0 else { throw .noData }
        guard needed <= layout.dataDescriptors else {
            throw .tooManyDescriptors(needed: needed, limit: layout.dataDescriptors)
        }
        let slot = try takeSlot(for: type)
        buildChain(of: slot, dataDescriptors: needed) { append in
            for range in data { Self.split(range, append) }
        }
        return PreparedRequest(slot: slot)
    }

    private mutating func takeSlot(for type: RequestType) throws(PrepareError) -> Int {
        guard let slot = freeSlots.popLast() else { throw .noFreeRequest(limit: slots.count) }
        slots[slot] = Slot(state: .prepared, type: type)
        return slot
    }

    /// Gives a prepared request's slot back; it may not be outstanding.
    public mutating func release(_ request: PreparedRequest) {
        precondition(
            slots[request.slot].state == .prepared,
            "request \(request.slot) is \(slots[request.slot].state), not prepared")
        slots[request.slot].state = .free
        freeSlots.append(request.slot)
    }

    /// Makes a prepared request available to the device, with release (2.7.13.3.1). The generation is its sector: what
    /// the device writes follows from that.
    ///
    /// Whether the device must be told, where it does not poll, `deviceWantsNotification()` says.
    public mutating func submit(_ request: PreparedRequest, generation: UInt64) {
        let slot = request.slot
        precondition(
            slots[slot].state == .prepared, "request \(slot) is \(slots[slot].state), not prepared")
        slots[slot].state = .outstanding
        slots[slot].generation = generation
        RequestHeader(type: slots[slot].type.rawValue, sector: generation)
            .write(to: base + layout.headerOffset(of: slot))
        RequestStatus.clear(base + layout.statusOffset(of: slot))
        available.setAvailableHead(head(of: slot), at: availableIndex)
        availableIndex &+= 1
        available.publish(availableIndex)
    }

    /// Prepares a request, submits it, and releases it when it is completed.
    @discardableResult
    public mutating func submit(
        _ type: RequestType = .in, data: [PageRange], generation: UInt64
    ) throws(PrepareError) -> PreparedRequest {
        let request = try prepare(type, data: data)
        slots[request.slot].releasesAtCompletion = true
        submit(request, generation: generation)
        return request
    }

    /// The same of runs of bytes, at any address and of any length that a descriptor can tell.
    @discardableResult
    public mutating func submit(
        _ type: RequestType, bytes: some Collection<ByteRun>, generation: UInt64
    ) throws(PrepareError) -> PreparedRequest {
        guard !bytes.isEmpty else { throw .noData }
        guard bytes.count <= layout.dataDescriptors else {
            throw .tooManyDescriptors(needed: bytes.count, limit: layout.dataDescriptors)
        }
        let slot = try takeSlot(for: type)
        buildChain(of: slot, dataDescriptors: bytes.count) { append in
            for run in bytes { append(run.address, run.byteCount) }
        }
        slots[slot].releasesAtCompletion = true
        let request = PreparedRequest(slot: slot)
        submit(request, generation: generation)
        return request
    }

    /// Requests that may be submitted before one has to be completed.
    public var freeRequests: Int { freeSlots.count }

    /// The next request that the device has completed, with acquire: its data is there to be read.
    public mutating func poll() throws(DeviceError) -> Completion? {
        let ahead = used.published() &- usedIndex
        guard ahead > 0 else { return nil }
        guard Int(ahead) <= outstanding else {
            throw .usedIndexRanAhead(by: Int(ahead), outstanding: outstanding)
        }
        let element = used.usedElement(at: usedIndex)
        let (slot, rest) = Int(element.head).quotientAndRemainder(dividingBy: entriesPerSlot)
        guard rest == 0, slot < slots.count, slots[slot].state == .outstanding else {
            throw .notOutstanding(head: element.head)
        }
        usedIndex &+= 1
        slots[slot].state = .prepared
        let request = PreparedRequest(slot: slot)
        let completion = Completion(
            request: request, generation: slots[slot].generation,
            status: RequestStatus(at: base + layout.statusOffset(of: slot)),
            usedLength: element.length)
        if slots[slot].releasesAtCompletion { release(request) }
        return completion
    }

    // MARK: Notifications, for callers that do not poll

    /// Whether the device is to be told of the requests submitted so far (2.7.13.4.1).
    public mutating func deviceWantsNotification() -> Bool {
        defer { notifiedIndex = availableIndex }
        return available.wantsNotification(of: availableIndex, since: notifiedIndex, by: used)
    }

    /// Tells the device that completions need no notification (2.7.7).
    public func suppressNotifications() { available.suppressNotifications() }

    /// Asks for notifications; true where something was completed meanwhile, so that the caller
    /// must not sleep (2.7.14).
    public func enableNotifications() -> Bool {
        available.enableNotifications(by: used, from: usedIndex) != usedIndex
    }
}

extension DriverQueue {
    /// A descriptor's length has 32 bits: 4 GiB - 4 KiB is the most it holds of whole pages. A
    /// longer range goes in pieces of 2 GiB, which keep its alignment to large pages.
    private static let descriptorPages: UInt64 = (1 << 32) / pageSize - 1
    private static let piecePages: UInt64 = (1 << 31) / pageSize

    private static func descriptorCount(for range: PageRange) -> Int {
        let pages = range.count.rawValue
        return pages <= descriptorPages ? 1 : Int((pages + piecePages - 1) / piecePages)
    }

    /// The first of the slot's entries of the descriptor table, by which the device names the
    /// request.
    private func head(of slot: Int) -> UInt16 { UInt16(slot * entriesPerSlot) }

    /// Hands the descriptors that a range needs to `append`, in its order.
    private static func split(_ range: PageRange, _ append: (UInt64, UInt32) -> Void) {
        let limit = range.count.rawValue <= descriptorPages ? descriptorPages : piecePages
        var start = range.lower
        while start < range.upper {
            let pages = min(limit, range.upper - start)
            append(start * pageSize, UInt32(pages * pageSize))
            start += pages
        }
    }

    /// `addData` hands each of the data's descriptors on, address and length.
    private func buildChain(
        of slot: Int, dataDescriptors: Int, _ addData: ((UInt64, UInt32) -> Void) -> Void
    ) {
        let length = dataDescriptors + 2
        let head = Int(head(of: slot))
        var table = DescriptorTable(
            base: base + layout.descriptorTableOffset, count: layout.queueSize)
        var index = head
        if length > entriesPerSlot {
            let offset = layout.indirectTableOffset(of: slot)
            table.write(
                Descriptor(
                    address: area.start.address + UInt64(offset),
                    length: UInt32(length * Descriptor.byteCount), flags: .indirect, next: 0),
                at: head)
            table = DescriptorTable(base: base + offset, count: layout.chainLimit)
            index = 0
        }

        func append(_ address: UInt64, _ length: UInt32, _ flags: Descriptor.Flags) {
            let next = flags.contains(.next) ? UInt16(index + 1) : 0
            table.write(
                Descriptor(address: address, length: length, flags: flags, next: next), at: index)
            index += 1
        }
        let header = area.start.address + UInt64(layout.headerOffset(of: slot))
        let status = area.start.address + UInt64(layout.statusOffset(of: slot))
        let dataFlags: Descriptor.Flags =
            slots[slot].type.deviceWrites == true ? [.write, .next] : .next
        append(header, RequestHeader.byteCount, .next)
        addData { append($0, $1, dataFlags) }
        append(status, 1, .write)
    }
}

// Its arrays are its own, and guest memory is only touched through atomics.
extension DriverQueue: @unchecked Sendable {}
