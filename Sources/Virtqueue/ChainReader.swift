import GuestMemory

/// Reads a descriptor chain that a hostile guest built, and may be rebuilding, into private memory.
///
/// A chain is left where its structure is broken. A descriptor that is wrong in itself is noted and
/// passed over, since only the chain's end tells where the guest looks for the bad news.
struct ChainReader {
    let table: DescriptorTable
    let area: PageRange
    /// Where the queue area lies in this process.
    let base: UnsafeMutableRawPointer
    let guestPages: PageCount

    /// Fills `request` from the chain at its head; throws the first thing wrong with it.
    func read(into request: inout DeviceRequest) throws(BadRequest) {
        let queueSize = table.count
        var table = table
        var inIndirectTable = false
        var index = request.head
        var position = 0
        var fault: BadRequest?
        while true {
            guard index < table.count else { throw fault ?? .descriptorOutOfRange(index) }
            let descriptor = table.read(Int(index))
            if descriptor.flags.contains(.indirect) {
                guard !inIndirectTable else { throw fault ?? .nestedIndirect }
                do { table = try indirectTable(descriptor) } catch { throw fault ?? error }
                inIndirectTable = true
                index = 0
                continue
            }
            guard position < queueSize else { throw fault ?? .chainTooLong }
            let isLast = !descriptor.flags.contains(.next)
            do {
                if position == 0 {
                    try readHeader(descriptor, into: &request)
                } else if isLast {
                    try readStatus(descriptor, into: &request)
                } else {
                    try readData(descriptor, into: &request)
                }
            } catch { fault = fault ?? error }
            position += 1
            if isLast { break }
            index = descriptor.next
        }
        if let fault { throw fault }
        if position == 1 { throw .noStatus }
        try request.checkData()
    }

    /// 2.7.5.3. The write flag means nothing here (2.7.5.3.2).
    private func indirectTable(_ descriptor: Descriptor) throws(BadRequest) -> DescriptorTable {
        if descriptor.flags.contains(.next) { throw .indirectWithNext }
        let length = Int(descriptor.length)
        guard length > 0, length % Descriptor.byteCount == 0 else {
            throw .indirectTableLength(descriptor.length)
        }
        guard let offset = offset(of: descriptor, alignment: 16) else {
            throw .indirectTablePlace(descriptor.address)
        }
        return DescriptorTable(base: base + offset, count: length / Descriptor.byteCount)
    }

    private func readHeader(
        _ descriptor: Descriptor, into request: inout DeviceRequest
    ) throws(BadRequest) {
        if descriptor.flags.contains(.write) { throw .headerNotReadable }
        if descriptor.length < RequestHeader.byteCount { throw .headerTooShort(descriptor.length) }
        guard let offset = offset(of: descriptor, alignment: 8) else {
            throw .headerPlace(descriptor.address)
        }
        let header = RequestHeader(at: base + offset)
        guard header.type == RequestHeader.write else { throw .unknownType(header.type) }
        request.generation = header.generation
    }

    private func readStatus(
        _ descriptor: Descriptor, into request: inout DeviceRequest
    ) throws(BadRequest) {
        if !descriptor.flags.contains(.write) { throw .notWritable }
        if descriptor.length < StatusRecord.byteCount { throw .statusTooShort(descriptor.length) }
        guard let offset = offset(of: descriptor, alignment: 8) else {
            throw .statusPlace(descriptor.address)
        }
        request.statusOffset = offset
    }

    private func readData(
        _ descriptor: Descriptor, into request: inout DeviceRequest
    ) throws(BadRequest) {
        if !descriptor.flags.contains(.write) { throw .notWritable }
        let (address, length) = (descriptor.address, UInt64(descriptor.length))
        guard length > 0 else { throw .emptyData(address) }
        guard (address | length) % pageSize == 0 else {
            throw .misalignedData(address, descriptor.length)
        }
        // In pages nothing can overflow: the start has 52 bits and the count 20.
        guard
            let range = PageRange(checkingStart: address / pageSize, count: length / pageSize),
            range.upper <= guestPages.rawValue
        else { throw .dataOutsideGuestMemory(address, descriptor.length) }
        if range.overlaps(area) { throw .dataInQueueArea(address, descriptor.length) }
        request.append(range)
    }

    /// Where a buffer starts in the queue area; nil where it is not wholly inside, or not aligned.
    private func offset(of descriptor: Descriptor, alignment: UInt64) -> Int? {
        let size = area.count.bytes.rawValue
        let length = UInt64(descriptor.length)
        guard descriptor.address >= area.start.address, descriptor.address % alignment == 0 else {
            return nil
        }
        let offset = descriptor.address - area.start.address
        guard length <= size, offset <= size - length else { return nil }
        return Int(offset)
    }
}
