import GuestMemory
import Linux

/// A strategy whose conversions and counts are those of the range tree: it differs in how its devices come to a pin.
protocol StandsOnTree: PinStrategy {
    var tree: RangeTree { get }
}

extension StandsOnTree {
    public static func sectionByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }
    public static func metadataByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }

    public var arena: Arena { tree.arena }

    public func close(_ range: PageRange) { tree.close(range) }
    public func open(_ range: PageRange) { tree.open(range) }
    public func firstPinned(in range: PageRange) -> GFN? { tree.firstPinned(in: range) }
    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try tree.recover(device, until: deadline)
    }
    public func audit() throws(SystemError) -> String? { try tree.audit() }
}
