import DmaLinux
import Glibc
import GuestMemory

/// The bytes behind one RMP entry.
public enum EntrySize: UInt64, BitwiseCopyable, Sendable {
    case small = 4096
    case large = 2_097_152

    public var pages: UInt64 { rawValue / pageSize }
}

/// The memory that devices and hypervisor share about pins: one mapping per process, never the guest's.
///
/// Position-independent; zero everywhere means a guest that is wholly private and unpinned, so the arena of a
/// guest of terabytes is sparse and needs no initialisation. In this order, each part on pages of its own:
///
///     header | coordination | published pins | journals, one per device | RMP table, 16 bytes per page | strategy section
///
/// The hypervisor outlives its devices: they are mortal at any instruction, it takes the arena with it.
public final class Arena {
    /// Devices an arena has journals for.
    public static let deviceCapacity = 64

    /// Guest memory in pages.
    public let pages: PageCount
    public let entrySize: EntrySize
    public let mapping: SharedMapping
    public let table: RMPTable
    public let coordination: Coordination
    /// What a guest, which never sees the arena, cannot know: another one after each reset.
    let secret: UInt64
    let published: PublishedPins
    let section: UnsafeMutableRawPointer
    private let journals: UnsafeMutableRawPointer

    private struct Header {
        var magic: UInt64
        var pages: UInt64
        var entryBytes: UInt64
        var secret: UInt64
    }

    /// "dmapin" and the layout's number.
    private static let magic: UInt64 = 0x646d_6170_696e_0004
    private static let coordinationOffset = 4096
    private static let publishedOffset = 8192
    private static let journalOffset = publishedOffset + PublishedPins.byteCount

    private static func tableOffset() -> Int { journalOffset + deviceCapacity * Journal.byteCount }
    private static func sectionOffset(pages: PageCount) -> Int {
        let end = tableOffset() + Int(pages.rawValue) * RMPTable.entryByteCount
        return (end + 4095) / 4096 * 4096
    }

    /// Bytes of an arena that is wide enough for every strategy of the registry.
    private static func byteCount(pages: PageCount) -> Int {
        let section = Registry.all.map { $0.sectionByteCount(pages: pages) }.max() ?? 0
        return sectionOffset(pages: pages) + max(section, 4096)
    }

    /// A new arena for a guest of up to that many pages, wide enough for every strategy of the registry.
    public static func create(pages: PageCount, entrySize: EntrySize) throws(SystemError) -> Arena {
        precondition(
            pages.rawValue > 0 && pages.rawValue <= PageRange.frameLimit, "a guest of \(pages)")
        let mapping = try SharedMapping.create(
            name: "dma-bench-arena", byteCount: byteCount(pages: pages))
        try writeHeader(mapping, pages: pages, entrySize: entrySize)
        return try Arena(attaching: mapping)
    }

    /// A view on an arena that another process has created.
    public init(attaching mapping: SharedMapping) throws(SystemError) {
        let header = mapping.base.load(as: Header.self)
        guard mapping.byteCount >= Self.tableOffset(), header.magic == Self.magic,
            header.pages > 0, header.pages <= PageRange.frameLimit,
            let entrySize = EntrySize(rawValue: header.entryBytes),
            Self.byteCount(pages: PageCount(header.pages)) <= mapping.byteCount
        else {
            throw SystemError(
                "attach", code: EINVAL, on: mapping.name,
                advice: "this is no pin arena of this version"
            )
        }
        self.mapping = mapping
        self.entrySize = entrySize
        pages = PageCount(header.pages)
        secret = header.secret
        coordination = Coordination(at: mapping.base + Self.coordinationOffset)
        published = PublishedPins(at: mapping.base + Self.publishedOffset)
        journals = mapping.base + Self.journalOffset
        table = RMPTable(
            at: mapping.base + Self.tableOffset(), pages: pages, entrySize: entrySize)
        section = mapping.base + Self.sectionOffset(pages: pages)
    }

    /// Makes the guest wholly private and unpinned again, and gives it `pages` and entries of `entrySize`.
    ///
    /// Nobody may use the arena meanwhile; views from before are void. Memory that was touched stays allocated.
    /// The guest may be smaller than the one the arena was created for, never larger.
    /// Where it `shouldStop`, what comes of it is good for nothing.
    public func reset(
        pages: PageCount, entrySize: EntrySize, shouldStop: () -> Bool = { false }
    ) throws(SystemError) -> Arena {
        try mapping.zero(shouldStop: shouldStop)
        try Self.writeHeader(mapping, pages: pages, entrySize: entrySize)
        return try Arena(attaching: mapping)
    }

    private static func writeHeader(
        _ mapping: SharedMapping, pages: PageCount, entrySize: EntrySize
    ) throws(SystemError) {
        mapping.base.storeBytes(
            of: Header(
                magic: magic, pages: pages.rawValue, entryBytes: entrySize.rawValue,
                secret: try randomWord()),
            as: Header.self)
    }

    /// The pages whose table entries have ever been touched, and perhaps some others.
    func forEachTouchedPageRange(_ body: (Range<UInt64>) throws(SystemError) -> Void)
        throws(SystemError)
    {
        let entry = RMPTable.entryByteCount
        let byteCount = Int(pages.rawValue) * entry
        try forEachTouchedExtent(from: Self.tableOffset(), byteCount: byteCount) {
            (bytes) throws(SystemError) in
            try body(UInt64(bytes.lowerBound / entry)..<UInt64(bytes.upperBound / entry))
        }
    }

    /// The bytes of the strategy section's first `byteCount` that have ever been touched, and perhaps some others.
    func forEachTouchedExtent(
        ofSection byteCount: Int, _ body: (Range<Int>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try forEachTouchedExtent(
            from: Self.sectionOffset(pages: pages), byteCount: byteCount, body)
    }

    private func forEachTouchedExtent(
        from offset: Int, byteCount: Int, _ body: (Range<Int>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try mapping.forEachPopulatedExtent { (extent) throws(SystemError) in
            let part = extent.clamped(to: offset..<offset + byteCount)
            guard !part.isEmpty else { return }
            try body(part.lowerBound - offset..<part.upperBound - offset)
        }
    }

    /// How many 2 MiB entries have been split since the guest started. Reads what was touched only.
    public func splitCount() throws(SystemError) -> UInt64 {
        var sum: UInt64 = 0
        try forEachTouchedPageRange { sum += table.splitCount(in: $0) }
        return sum
    }

    /// Allocates and maps table and section, so that no later access is a first touch. Not for sparse guests.
    public func populate() throws(SystemError) {
        try mapping.populate(Self.tableOffset()..<mapping.byteCount)
    }

    func journal(of device: DeviceID) -> Journal {
        Journal(at: journals + device.rawValue * Journal.byteCount, device: device)
    }

    /// The pins, of all devices, that journals and slots know: held, or left torn by a dead device.
    public var livePins: Int {
        var sum = 0
        for number in 0..<Self.deviceCapacity {
            let device = DeviceID(number)
            sum += journal(of: device).liveEntries().count + published.pinCount(of: device)
        }
        return sum
    }
}

// The pointers lie in the mapping, which the arena keeps; all access through them is atomic, but for the
// header, which is written before anybody attaches.
extension Arena: @unchecked Sendable {}
