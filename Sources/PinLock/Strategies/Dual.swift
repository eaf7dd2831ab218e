import DmaLinux
import GuestMemory

/// Two frames for every page: what is private lies elsewhere, so the device's write does no harm.
///
/// The idea: the device maps the shared frames and nothing else. A page that becomes private gets a frame of its own in
/// a second file, which no device maps; whoever holds the frames switches them before a conversion commits. A write to
/// the page still lands in the old frame: nobody reads it any more.
///
/// Why no private page is written: the device has no address for the private frame. Pages are *not* kept shared while a
/// device uses them: what it wrote after the conversion is lost, and it does not hear of it.
///
/// Cost: the device pays nothing; a conversion allocates a frame the first time; memory may double.
///
/// Its precedent: guest_memfd beside a shared mapping, as merged in Linux 6.8 (Documentation/virt/kvm/api.rst,
/// KVM_SET_USER_MEMORY_REGION2).
public struct Dual: KeepsNothing {
    public static let info = StrategyInfo(
        name: "dual",
        summary:
            "no lock: private pages have frames of their own, and the device writes the old ones",
        isSafe: true,
        cost:
            "memory, up to twice as much; data written to a converted page is lost without a word",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "guest_memfd beside a shared mapping (Linux 6.8, virt/kvm/guest_memfd.c)",
        family: .detours, place: 1,
        hasPrivateFrames: true)

    /// The second frame of every page.
    public static func metadataByteCount(pages: PageCount) -> Int { Int(pages.bytes.rawValue) }

    public let arena: Arena

    public init(arena: Arena) { self.arena = arena }

    public func pinner(for device: DeviceID) -> EmptyPinner { EmptyPinner(device) }
}
