import DmaLinux
import GuestMemory

/// A part of guest memory that a front-end has shared, mapped here.
///
/// The mapping lives as long as anybody has the region; whoever works in it keeps its table.
///
/// The front-end may shorten the file at any time, unless it is sealed, and then an access raises SIGBUS: who touches
/// the memory has to survive that, or be somebody who may die.
public struct MemoryRegion: Sendable {
    /// Where it begins for the guest; whole pages, like `byteCount`.
    public let guestAddress: UInt64
    public let byteCount: UInt64
    /// Where it begins in the front-end's address space.
    public let userAddress: UInt64
    private let mapping: SharedMapping
    private let offset: Int

    /// Where it begins in this process.
    public var base: UnsafeMutableRawPointer { mapping.base + offset }

    /// The same for whoever looks guest memory up in a table of its own.
    public var guestRegion: GuestRegion {
        let pages = PageRange(start: guestAddress / pageSize, count: byteCount / pageSize)
        do throws(RegionError) {
            return try GuestRegion(pages, in: mapping, offset: offset)
        } catch {
            preconditionFailure("a region that was checked: \(error)")
        }
    }

    /// Checks what the front-end says against the file behind `descriptor`, and maps it.
    init(
        _ region: RegionDescription, descriptor: consuming FileDescriptor
    ) throws(ProtocolError) {
        try Self.check(region)
        // Below 2^44 and within a file, whose length the kernel counts in 63 bits: nothing overflows from here on.
        let fileByteCount = try refused { () throws(SystemError) in try descriptor.byteCount }
        guard let end = Self.end(of: region.offset, region.byteCount), end <= UInt64(fileByteCount)
        else { throw .memory(.longerThanFile(region, fileByteCount)) }
        // From the file's beginning, since huge pages cannot be mapped from within, and in their whole.
        let unit = try refused { () throws(SystemError) in try descriptor.mappingGranularity }
        let whole = (Int(end) + unit - 1) / unit * unit
        let file = descriptor
        do throws(SystemError) {
            mapping = try SharedMapping(mapping: file, byteCount: whole, name: "guest memory")
        } catch { throw .system(error) }
        guestAddress = region.guestAddress
        byteCount = region.byteCount
        userAddress = region.userAddress
        offset = Int(region.offset)
    }

    private static func check(_ region: RegionDescription) throws(ProtocolError) {
        let parts = region.guestAddress | region.byteCount | region.userAddress | region.offset
        guard region.byteCount > 0 else { throw .memory(.empty(region)) }
        guard parts % pageSize == 0 else { throw .memory(.misaligned(region)) }
        guard let end = end(of: region.guestAddress, region.byteCount),
            end <= PageRange.frameLimit * pageSize
        else { throw .memory(.beyondLimit(region)) }
        guard Self.end(of: region.userAddress, region.byteCount) != nil else {
            throw .memory(.wraps(region))
        }
    }

    /// One past the last byte; nil where there is no such number.
    static func end(of start: UInt64, _ count: UInt64) -> UInt64? {
        let (end, overflow) = start.addingReportingOverflow(count)
        return overflow ? nil : end
    }

    /// Where `[address, address + byteCount)` of the guest lies from the region's beginning; nil where not all of it
    /// does.
    func offset(ofGuest address: UInt64, byteCount: UInt64) -> UInt64? {
        Self.offset(of: address, byteCount, from: guestAddress, self.byteCount)
    }

    /// The same for an address of the front-end.
    func offset(ofUser address: UInt64, byteCount: UInt64) -> UInt64? {
        Self.offset(of: address, byteCount, from: userAddress, self.byteCount)
    }

    private static func offset(
        of address: UInt64, _ count: UInt64, from start: UInt64, _ length: UInt64
    ) -> UInt64? {
        guard address >= start, count <= length, address - start <= length - count else {
            return nil
        }
        return address - start
    }

    func overlaps(_ other: MemoryRegion) -> Bool {
        func meet(_ left: UInt64, _ right: UInt64) -> Bool {
            left < right + other.byteCount && right < left + byteCount
        }
        return meet(guestAddress, other.guestAddress) || meet(userAddress, other.userAddress)
    }
}

/// Guest memory as a front-end has shared it: regions that do not overlap, neither for the guest nor for the front-end.
///
/// A value: whoever has a copy keeps its mappings, whatever the front-end adds or takes away meanwhile.
public struct MemoryTable: Sendable {
    /// Regions that there may be: what QEMU has of memory slots on x86-64.
    public static let slotLimit = 509
    /// Regions that one message can bring, each with a descriptor.
    public static let tableLimit = StreamSocket.descriptorLimit

    /// In the order of guest addresses.
    public private(set) var regions: [MemoryRegion] = []

    public init() {}

    mutating func add(_ region: MemoryRegion) throws(ProtocolError) {
        guard regions.count < Self.slotLimit else {
            throw .memory(.tooMany(limit: Self.slotLimit))
        }
        if let other = regions.first(where: { $0.overlaps(region) }) {
            throw .memory(.overlaps(region.guestAddress, other.guestAddress))
        }
        let place = regions.firstIndex { $0.guestAddress > region.guestAddress }
        regions.insert(region, at: place ?? regions.count)
    }

    /// Takes away the region with these addresses and this length; the offset does not count (vhost-user.rst,
    /// REM_MEM_REG).
    mutating func remove(_ region: RegionDescription) throws(ProtocolError) {
        let place = regions.firstIndex {
            $0.guestAddress == region.guestAddress && $0.userAddress == region.userAddress
                && $0.byteCount == region.byteCount
        }
        guard let place else { throw .memory(.unknown(region)) }
        regions.remove(at: place)
    }

    /// One past the last byte that the guest has; 0 where it has none.
    public var guestEnd: UInt64 { regions.last.map { $0.guestAddress + $0.byteCount } ?? 0 }

    /// Where a part of guest memory lies here; nil where no region has all of it.
    public func pointer(toGuest address: UInt64, byteCount: UInt64) -> UnsafeMutableRawPointer? {
        // The last region that begins at or before the address: none other can have its first byte.
        var (low, high) = (0, regions.count)
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].guestAddress <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let region = regions[low - 1]
        return region.offset(ofGuest: address, byteCount: byteCount).map { region.base + Int($0) }
    }

    /// The guest address of a part of the front-end's address space; nil where no region has all of it.
    public func guestAddress(ofUser address: UInt64, byteCount: UInt64) -> UInt64? {
        for region in regions {
            if let offset = region.offset(ofUser: address, byteCount: byteCount) {
                return region.guestAddress + offset
            }
        }
        return nil
    }
}

/// What is wrong with a region of guest memory.
public enum MemoryFault: Equatable, Sendable, CustomStringConvertible {
    case empty(RegionDescription)
    case misaligned(RegionDescription)
    case beyondLimit(RegionDescription)
    case wraps(RegionDescription)
    case longerThanFile(RegionDescription, Int)
    case overlaps(UInt64, UInt64)
    case tooMany(limit: Int)
    case unknown(RegionDescription)
    case underQueue(Int)

    public var description: String {
        switch self {
        case .empty(let region): "\(Self.text(region)) is empty"
        case .misaligned(let region):
            "\(Self.text(region)) is not whole pages: addresses, length and offset are multiples of \(pageSize)"
        case .beyondLimit(let region):
            "\(Self.text(region)) ends above 16 TiB, the largest guest there is"
        case .wraps(let region):
            "\(Self.text(region)) goes past the end of the front-end's addresses"
        case .longerThanFile(let region, let count):
            "\(Self.text(region)), from byte \(region.offset) of its file, is longer than the file's \(count) bytes"
        case .overlaps(let address, let other):
            "the region at \(hex(address)) overlaps the one at \(hex(other)), for the guest or for the front-end"
        case .tooMany(let limit): "more than \(limit) regions of guest memory"
        case .unknown(let region): "\(Self.text(region)) is not there"
        case .underQueue(let index):
            "memory taken away that queue \(index) lies in: stop the queue first (GET_VRING_BASE)"
        }
    }

    private static func text(_ region: RegionDescription) -> String {
        "the region at \(hex(region.guestAddress)) of \(hex(region.byteCount)) bytes"
    }
}
