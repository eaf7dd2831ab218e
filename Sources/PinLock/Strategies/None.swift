import DmaLinux
import GuestMemory

/// No lock at all: the harness's own floor. **Unsafe.**
///
/// The idea: a pin is a promise without anything behind it. A conversion commits whatever the devices do, so a
/// device writes private pages, and the oracle sees it. What a DMA costs here is what it costs without
/// synchronisation; every other strategy is measured against it.
///
/// Its precedent: a device model that maps guest memory once and trusts the guest; fio's null engine.
public struct None: KeepsNothing {
    public static let info = StrategyInfo(
        name: "none",
        summary: "no lock: the write alone",
        isSafe: false,
        cost: "nobody pays; private pages are written",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "a device model that trusts its guest; fio's null engine (engines/null.c)",
        family: .unsafe, place: 0)

    public static func metadataByteCount(pages: PageCount) -> Int { 0 }

    public let arena: Arena

    public init(arena: Arena) { self.arena = arena }

    public func pinner(for device: DeviceID) -> EmptyPinner { EmptyPinner(device) }
}
