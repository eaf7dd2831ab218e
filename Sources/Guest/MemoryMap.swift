import GuestMemory
import Settings
import Virtqueue

/// How a guest lays out its memory: DMA buffers from address 0, then a virtqueue per device, then free memory.
///
/// A buffer starts at a multiple of its size rounded up to a power of two, at most 1 GiB, plus the misalignment asked
/// for; so a 1 GiB buffer with no misalignment is one aligned GiB. With several devices it is eight pages at least.
///
/// Devices may also share one buffer, or have theirs side by side.
///
/// With a pool the devices' buffers are pools, one each, and the targets of the requests lie between them and the
/// virtqueues: the guest's own, never shared.
public struct MemoryMap: Sendable, Equatable {
    /// Guest memory that no buffer takes, unless more is asked for.
    public static let freeBytes = ByteCount(64 << 20)

    /// So many pieces a request may have at most.
    public static let pieceLimit: UInt64 = 1 << 20

    public let pages: PageCount
    /// What the devices write.
    public let buffers: [ScatterLayout]
    /// Where the guest copies to from its pools; empty where the devices write to the place itself.
    public let targets: [ScatterLayout]
    public let queueLayout: VirtqueueLayout
    public let queueStarts: [GFN]
    /// What is left: private, and the guest's own.
    public let free: PageRange

    /// What the devices write, each page once.
    public var bufferRanges: [PageRange] {
        var seen: Set<PageRange> = []
        return buffers.flatMap(\.ranges).filter { seen.insert($0).inserted }
    }

    /// Pages that more than one device writes.
    public var sharedPages: PageCount {
        let all = buffers.reduce(0) { $0 + $1.pages.rawValue }
        return PageCount(all - bufferRanges.reduce(0) { $0 + $1.count.rawValue })
    }

    /// Cache lines of RMP entries, of 64 bytes each, in which different devices have different pages: where entries
    /// are counted on, devices slow each other down there without any conflict.
    public func sharedLines(entryByteCount: UInt64) -> Int {
        let perLine = 64 / entryByteCount
        let owned = buffers.enumerated()
            .flatMap { device, buffer in buffer.ranges.map { (device: device, range: $0) } }
            .sorted { $0.range.lower < $1.range.lower }
        var lines: Set<UInt64> = []
        for (one, next) in zip(owned, owned.dropFirst())
        where one.device != next.device && one.range.upper <= next.range.lower {
            let line = next.range.lower / perLine
            if (one.range.upper - 1) / perLine == line { lines.insert(line) }
        }
        return lines.count
    }

    public var queueAreas: [PageRange] { queueStarts.map(queueLayout.area(at:)) }

    /// Where the guest copies to, in the order of addresses: nobody else's pages.
    public var targetRanges: [PageRange] {
        targets.flatMap(\.ranges).sorted { $0.lower < $1.lower }
    }

    /// How many pieces a request goes in.
    public var piecesPerRequest: UInt64 { targets.first?.pieceCount(through: buffers[0]) ?? 1 }

    /// A piece of a device's request.
    public func piece(_ index: UInt64, of device: Int) -> Piece {
        targets.isEmpty
            ? Piece(ranges: buffers[device].ranges)
            : targets[device].piece(index, through: buffers[device])
    }

    /// What stays private when the guest has shared its queues and buffers: everything else.
    public var privateRanges: [PageRange] {
        let shared = (buffers.flatMap(\.ranges) + queueAreas).sorted { $0.lower < $1.lower }
        var found: [PageRange] = []
        var next: UInt64 = 0
        for range in shared {
            if range.lower > next {
                found.append(PageRange(start: next, count: range.lower - next))
            }
            next = range.upper
        }
        if next < pages.rawValue {
            found.append(PageRange(start: next, count: pages.rawValue - next))
        }
        return found
    }

    /// A guest whose devices' requests have `rangeCount` ranges of `pagesPerRange` each.
    ///
    /// `spread` is the memory that each device's ranges are drawn from, by `seed`; nil where they are packed. `pool` is
    /// that of each device, nil for none; a request takes no more of it than it has pages. `total` is the guest's memory,
    /// nil for what the buffers need and `freeBytes`. A queue has room for so many requests at once.
    public init(
        devices: Int, requests: Int = 1, pagesPerRange: PageCount, rangeCount: Int,
        misalignment: PageCount,
        spread: PageCount? = nil, seed: UInt64 = 0, pool: PageCount? = nil,
        placement: BufferPlacement = .disjoint, total: PageCount?
    ) throws(MemoryMapError) {
        let entry = pagesPerRange.rawValue
        let stride = rangeCount == 1 ? entry : entry + 1
        let (packed, tooLong) = stride.multipliedReportingOverflow(by: UInt64(rangeCount))
        let span = spread?.rawValue ?? packed
        guard !tooLong, packed <= PageRange.frameLimit, span <= PageRange.frameLimit,
            misalignment.rawValue < PageRange.frameLimit
        else { throw .tooLarge }
        guard span >= packed else { throw .tooNarrow(needed: PageCount(packed)) }
        // Data descriptors: one a range, or pieces of 2 GiB where a range is longer than a descriptor's length tells.
        let pieces = max(1, (entry + (1 << 19) - 1) >> 19)
        queueLayout = try Self.layout(
            requests: requests, dataDescriptors: Int(pieces) * rangeCount)

        var next: UInt64 = 0
        func place(
            _ layout: (pagesPerRange: UInt64, rangeCount: Int), span: UInt64, area: PageCount? = nil
        ) throws(MemoryMapError) -> [ScatterLayout] {
            // Eight RMP entries are a pair of cache lines, which processors fetch together.
            let alignment = max(devices > 1 ? 8 : 1, min(pagesPerGiB, span.nextPowerOfTwo))
            var placed: [ScatterLayout] = []
            for device in 0..<devices {
                var start = (next + alignment - 1) / alignment * alignment + misalignment.rawValue
                if device > 0, placement == .same { start = placed[0].span.lower }
                if device > 0, placement == .adjacent { start = next }
                next = start + span
                guard next <= PageRange.frameLimit else { throw .tooLarge }
                placed.append(
                    ScatterLayout(
                        ScatterShape(
                            start: GFN(start), pagesPerRange: PageCount(layout.pagesPerRange),
                            rangeCount: layout.rangeCount, area: area,
                            seed: placement == .same ? seed : seed &+ UInt64(device))))
            }
            return placed
        }
        if let pool {
            let request = entry * UInt64(rangeCount)
            let slots = min(pool.rawValue, request)
            guard slots > 0, (request - 1) / slots < Self.pieceLimit else {
                throw .tooManyPieces(limit: Self.pieceLimit)
            }
            buffers = try place((slots, 1), span: slots)
            targets = try place((entry, rangeCount), span: span, area: spread)
        } else {
            buffers = try place((entry, rangeCount), span: span, area: spread)
            targets = []
        }
        queueStarts = (0..<devices).map { [next, queueLayout] in
            GFN(next + UInt64($0) * queueLayout.pages.rawValue)
        }
        let used = next + UInt64(devices) * queueLayout.pages.rawValue
        free = try Self.rest(behind: used, of: total)
        pages = PageCount(free.upper)
    }

    /// What is free behind the first `used` pages of a guest with so much memory; nil for what is needed.
    static func rest(
        behind used: UInt64, of total: PageCount?
    ) throws(MemoryMapError) -> PageRange {
        let needed = used + freeBytes.rawValue / pageSize
        let pages = total?.rawValue ?? needed
        guard pages >= needed else { throw .tooSmall(needed: PageCount(needed)) }
        guard pages <= PageRange.frameLimit else { throw .tooLarge }
        return PageRange(start: used, count: pages - used)
    }

    static func layout(
        requests: Int, dataDescriptors: Int
    ) throws(MemoryMapError) -> VirtqueueLayout {
        // A chain may not be longer than the queue, and takes two descriptors more than its data (VIRTIO 1.2,
        // 2.7.5.3.1).
        let size = max(256, UInt64(max(requests, dataDescriptors + 2)).nextPowerOfTwo)
        guard
            let layout = try? VirtqueueLayout(
                queueSize: Int(size), requests: requests, dataDescriptors: dataDescriptors)
        else { throw .tooManyRanges(limit: VirtqueueLayout.queueSizeLimit - 2) }
        return layout
    }
}

/// A guest that cannot be laid out.
public enum MemoryMapError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLarge
    case tooSmall(needed: PageCount)
    /// The ranges have no room in the memory that they are to be drawn from.
    case tooNarrow(needed: PageCount)
    case tooManyRanges(limit: Int)
    case tooManyPieces(limit: UInt64)

    public var description: String {
        switch self {
        case .tooLarge:
            "the buffers reach past 16 TiB, the largest guest"
        case .tooSmall(let needed):
            "the buffers, the virtqueues and 64M of free memory need \((needed.rawValue + 255) / 256)M"
        case .tooNarrow(let needed):
            "the ranges and the page behind each take \(needed.bytes)"
        case .tooManyRanges(let limit):
            "a request of so many ranges does not fit a virtqueue: at most \(limit) descriptors of at "
                + "most 2G each (VIRTIO 1.2, 2.7.5.3.1)"
        case .tooManyPieces(let limit):
            "a request goes through its pool in at most \(limit) pieces"
        }
    }
}

extension UInt64 {
    fileprivate var nextPowerOfTwo: UInt64 {
        self <= 1 ? 1 : 1 << (UInt64.bitWidth - (self - 1).leadingZeroBitCount)
    }
}
