import GuestMemory
import Linux

/// No lock at all: the harness's own floor. **Unsafe.**
///
/// The idea: a pin is a promise without anything behind it. A conversion commits whatever the devices do, so a
/// device writes private pages, and the oracle sees it. What a DMA costs here is what it costs without
/// synchronisation; every other strategy is measured against it.
///
/// Its twin: a device model that maps guest memory once and trusts the guest; fio's null engine.
public struct None: PinStrategy {
    public static let info = StrategyInfo(
        name: "none",
        summary: "no lock: the write alone",
        isSafe: false,
        cost: "nobody pays; private pages are written",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        twin: "a device model that trusts its guest; fio's null engine (engines/null.c)")

    public static func sectionByteCount(pages: PageCount) -> Int { 0 }
    public static func metadataByteCount(pages: PageCount) -> Int { 0 }

    public let arena: Arena

    public init(arena: Arena) { self.arena = arena }

    public func pinner(for device: DeviceID) -> Device { Device(device) }

    public func close(_ range: PageRange) {}
    public func firstPinned(in range: PageRange) -> GFN? { nil }
    public func open(_ range: PageRange) {}
    public func recover(_ device: DeviceID, until deadline: Deadline) -> Int { 0 }
    public func audit() -> String? { nil }

    public final class Device: Pinner {
        private let device: DeviceID

        init(_ device: DeviceID) { self.device = device }

        public func pin(_ range: PageRange) -> Pin {
            Pin(range: range, device: device, entry: 0, ticket: 0)
        }
        public func unpin(_ pin: Pin) {}
    }
}
