import DmaLinux
import GuestMemory

// What strategies of one kind have in common on the hypervisor's side: each says only where it differs.

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
    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        tree.search(range, within: nanoseconds)
    }
    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try tree.recover(device, until: deadline)
    }
    public func audit() throws(SystemError) -> String? { try tree.audit() }
}

/// A strategy whose pins are listed under one mutex: it differs in how they are looked up.
protocol UnderOneMutex: PinStrategy {
    associatedtype Index: PinIndex
    var pins: LockedPins<Index> { get }
}

extension UnderOneMutex {
    public static func sectionByteCount(pages: PageCount) -> Int {
        LockedPins<Index>.sectionByteCount(pages: pages)
    }
    public static func metadataByteCount(pages: PageCount) -> Int { sectionByteCount(pages: pages) }

    public var arena: Arena { pins.arena }

    public func close(_ range: PageRange) { pins.forest.close(range) }
    public func open(_ range: PageRange) { pins.forest.open(range) }
    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        pins.search(range, within: nanoseconds)
    }
    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try pins.recover(device, until: deadline)
    }
    public func audit() throws(SystemError) -> String? { try pins.audit() }
}

/// A strategy whose pins keep no conversion away: nothing of them is in the arena.
protocol KeepsNothing: PinStrategy {}

extension KeepsNothing {
    public static func sectionByteCount(pages: PageCount) -> Int { 0 }

    public func close(_ range: PageRange) {}
    public func open(_ range: PageRange) {}
    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch { .none }
    public func recover(_ device: DeviceID, until deadline: Deadline) -> Int { 0 }
    public func audit() -> String? { nil }
}

/// The device's side of pins that keep nothing away.
public final class EmptyPinner: Pinner {
    private let device: DeviceID

    init(_ device: DeviceID) { self.device = device }

    public func pin(_ ranges: Span<PageRange>) -> Pin {
        Pin(range: ranges[0], device: device, entry: 0, ticket: 0)
    }
    public func unpin(_ pin: Pin) {}
}
