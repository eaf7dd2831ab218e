import DmaLinux
import GuestMemory

/// The device never touches the guest's buffer: it writes into a pool, and the guest copies.
///
/// The idea: the guest shares a pool once and for all, and the device pins it at set-up, as `longlived` does. Requests
/// name pages of the pool; when one is completed the guest copies what came to its own buffer. A request larger than
/// the pool goes in pieces.
///
/// Why no page is both pinned and private: the pool is pinned from set-up on, so a conversion inside it is denied. The
/// buffer is private throughout, and no request names a page of it.
///
/// Cost: nothing per DMA in the device; the guest copies every byte with a processor of its own, gives up the pool's
/// memory, and cannot convert a page of it.
///
/// Its precedent: swiotlb (Linux, kernel/dma/swiotlb.c), forced on where a guest's memory is encrypted
/// (arch/x86/kernel/pci-dma.c). One of its mappings is 256 KiB at most (IO_TLB_SEGSIZE, include/linux/swiotlb.h).
public struct Bounce: StandsOnTree {
    public static let info = StrategyInfo(
        name: "bounce",
        summary: "the device writes into a pool that is pinned at set-up, the guest copies",
        isSafe: true,
        cost: "the guest: a copy of every byte, and a pool that stays shared",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "swiotlb (kernel/dma/swiotlb.c), the default of SEV-SNP and TDX guests",
        family: .detours, place: 0,
        pinsBuffers: true, needsPool: true)

    private let pool: LongLived
    var tree: RangeTree { pool.tree }

    public init(arena: Arena) { pool = LongLived(arena: arena) }

    public func pinner(for device: DeviceID) -> LongLived.Device { pool.pinner(for: device) }
}
