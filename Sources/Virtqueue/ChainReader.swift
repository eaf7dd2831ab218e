import GuestMemory

/// Reads a descriptor chain that a hostile guest built, and may be rebuilding, into private memory.
///
/// A chain is left where its structure is broken. A descriptor that is wrong in itself is noted and
/// passed over, since only the chain's end tells where the guest looks for the bad news.
struct ChainReader {
    let table: DescriptorTable
    let registered: [RegisteredPages]

    /// Fills `request` from the chain at its head; throws the first thing wrong with it. Returns the type where it is
    /// none that the device knows.
    func read<Reader: GuestReader & ~Copyable>(
        into request: inout DeviceRequest, from memory: GuestView, reading reader: inout Reader
    ) throws(BadRequest) -> UInt32? {
        let queueSize = table.count
        var table = table
        var inIndirectTable = false
        var index = request.head
        var position = 0
        var unknownType: UInt32?
        var fault: BadRequest?
        while true {
            guard index < table.count else { throw fault ?? .descriptorOutOfRange(index) }
            let descriptor = table.read(Int(index))
            if descriptor.flags.contains(.indirect) {
                guard !inIndirectTable else { throw fault ?? .nestedIndirect }
                do throws(BadRequest) {
                    table = try indirectTable(descriptor, of: request, from: memory, &reader)
                } catch { throw fault ?? error }
                inIndirectTable = true
                index = 0
                continue
            }
            guard position < queueSize else { throw fault ?? .chainTooLong }
            let isLast = !descriptor.flags.contains(.next)
            do throws(BadRequest) {
                if position == 0 {
                    let header = try readHeader(descriptor, of: request, from: memory, &reader)
                    request.type = RequestType(rawValue: header.type)
                    request.sector = header.sector
                    if request.type == nil { unknownType = header.type }
                } else if isLast {
                    try readStatus(descriptor, into: &request, from: memory)
                } else {
                    try readData(descriptor, into: &request, from: memory)
                }
            } catch { fault = fault ?? error }
            position += 1
            if isLast { break }
            index = descriptor.next
        }
        if let fault { throw fault }
        if position == 1 { throw .noStatus }
        if request.type?.deviceWrites != nil, request.segmentCount == 0 { throw .noData }
        return unknownType
    }

    /// 2.7.5.3. The write flag means nothing here (2.7.5.3.2).
    private func indirectTable<Reader: GuestReader & ~Copyable>(
        _ descriptor: Descriptor, of request: borrowing DeviceRequest, from memory: GuestView,
        _ reader: inout Reader
    ) throws(BadRequest) -> DescriptorTable {
        if descriptor.flags.contains(.next) { throw .indirectWithNext }
        let length = Int(descriptor.length)
        // No chain is longer than the queue (2.7.5.3.1).
        guard length > 0, length % Descriptor.byteCount == 0,
            length <= table.count * Descriptor.byteCount
        else { throw .indirectTableLength(descriptor.length) }
        switch bytes(of: descriptor, from: memory, to: request.tableCopy, &reader) {
        case .outside: throw .indirectTablePlace(descriptor.address)
        case .refused: throw .indirectTableUnread(descriptor.address)
        case .at(let base):
            return DescriptorTable(base: base, count: length / Descriptor.byteCount)
        }
    }

    private func readHeader<Reader: GuestReader & ~Copyable>(
        _ descriptor: Descriptor, of request: borrowing DeviceRequest, from memory: GuestView,
        _ reader: inout Reader
    ) throws(BadRequest) -> RequestHeader {
        if descriptor.flags.contains(.write) { throw .headerNotReadable }
        guard descriptor.length == RequestHeader.byteCount else {
            throw .headerLength(descriptor.length)
        }
        switch bytes(of: descriptor, from: memory, to: request.headerCopy, &reader) {
        case .outside: throw .headerPlace(descriptor.address)
        case .refused: throw .headerUnread(descriptor.address)
        case .at(let base): return RequestHeader(at: base)
        }
    }

    private func readStatus(
        _ descriptor: Descriptor, into request: inout DeviceRequest, from memory: GuestView
    ) throws(BadRequest) {
        if !descriptor.flags.contains(.write) { throw .statusNotWritable }
        guard descriptor.length == 1 else { throw .statusLength(descriptor.length) }
        let address = descriptor.address
        if let pointer = registered(address, byteCount: 1) {
            return request.placeStatus(registered: pointer)
        }
        guard let location = memory.location(of: address, byteCount: 1) else {
            throw .statusPlace(address)
        }
        request.placeStatus(address, at: location)
    }

    private func readData(
        _ descriptor: Descriptor, into request: inout DeviceRequest, from memory: GuestView
    ) throws(BadRequest) {
        let isWritable = descriptor.flags.contains(.write)
        if isWritable { request.noteWritable(descriptor.length) }
        // Nobody does anything with the data of a request that asks for none.
        guard let deviceWrites = request.type?.deviceWrites else { return }
        guard isWritable == deviceWrites else {
            throw deviceWrites ? .dataNotWritable : .dataNotReadable
        }
        let (address, length) = (descriptor.address, UInt64(descriptor.length))
        guard length > 0 else { throw .emptyData(address) }
        guard let location = memory.location(of: address, byteCount: length) else {
            throw .dataOutsideGuestMemory(address, descriptor.length)
        }
        request.append(address, length, at: location)
    }

    // MARK: What is read

    /// Where the bytes of a buffer can be read.
    private enum Bytes {
        case at(UnsafeMutableRawPointer)
        case outside
        case refused
    }

    /// In place where they are registered and aligned as their words have to be, else as a copy.
    private func bytes<Reader: GuestReader & ~Copyable>(
        of descriptor: Descriptor, from memory: GuestView, to copy: UnsafeMutableRawPointer,
        _ reader: inout Reader
    ) -> Bytes {
        let (address, length) = (descriptor.address, UInt64(descriptor.length))
        if let pointer = registered(address, byteCount: length) {
            if address % 8 == 0 { return .at(pointer) }
            copy.copyMemory(from: pointer, byteCount: Int(length))
            return .at(copy)
        }
        guard let location = memory.location(of: address, byteCount: length) else {
            return .outside
        }
        let (lower, upper) = (address / pageSize, (address + length - 1) / pageSize + 1)
        let source = UnsafeRawBufferPointer(start: location.pointer, count: Int(length))
        let isRead = reader.copy(
            source, in: PageRange(start: lower, count: upper - lower), to: copy)
        return isRead ? .at(copy) : .refused
    }

    private func registered(_ address: UInt64, byteCount: UInt64) -> UnsafeMutableRawPointer? {
        for index in registered.indices {
            if let pointer = registered[index].pointer(to: address, byteCount: byteCount) {
                return pointer
            }
        }
        return nil
    }
}
