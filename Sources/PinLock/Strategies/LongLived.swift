import DmaLinux
import GuestMemory

/// Pin once at set-up and hold across DMAs.
///
/// The idea: the device registers its buffers when the guest has shared them, through the range tree, and keeps
/// them pinned. A DMA inside a registration finds it there and touches nothing shared. A range outside, or one whose
/// registration had to be let go, is pinned for the one DMA, as `rangetree` does.
///
/// Why no page is both pinned and private: a registration is a pin of the tree like any other. Under `revoke`, a
/// conversion that meets it asks, and the device lets go of every registration with a closed page in it between
/// two DMAs, never under one.
///
/// Cost: nothing per DMA; the guest cannot convert a page of a buffer (denied), or waits for the DMA in flight and
/// makes the device register again (revoked).
///
/// Its precedents: VFIO and iommufd mappings, RDMA memory regions, io_uring's fixed buffers.
public struct LongLived: StandsOnTree {
    public static let info = StrategyInfo(
        name: "longlived",
        summary: "pin at set-up through the range tree, hold across DMAs",
        isSafe: true,
        cost:
            "the guest: its buffers cannot be converted, or a conversion waits for the device to let go",
        policies: [.deny, .wait, .revoke],
        kernelNeeds: nil,
        precedent:
            "VFIO (drivers/vfio/vfio_iommu_type1.c), iommufd, RDMA memory regions, io_uring fixed buffers",
        family: .keepers, place: 0,
        pinsBuffers: true)

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> Device {
        Device(CountedPins(tree.cover, arena: arena, device: device), device: device)
    }

    public final class Device: RegisteringPinner {
        private let tree: CountedPins<ForestCover>
        private let registrations: Registrations

        init(_ tree: CountedPins<ForestCover>, device: DeviceID) {
            self.tree = tree
            registrations = Registrations(tree, device: device)
        }

        public func register(_ ranges: [PageRange]) throws(PinRefusal) {
            for range in ranges {
                do throws(PinRefusal) {
                    try registrations.add(range)
                } catch {
                    unregister()
                    throw error
                }
            }
        }

        public func unregister() { registrations.removeAll() }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            serviceRevocations()
            var next = registrations.firstMiss(in: ranges)
            while next < ranges.count {
                guard takeBack(ranges[next]) else { return try tree.pin(ranges) }
                next = registrations.firstMiss(in: ranges, from: next)
            }
            return registrations.token(for: ranges[0])
        }

        public func pinToKeep(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            serviceRevocations()
            return try tree.pin(ranges)
        }

        public func unpin(_ pin: Pin) {
            guard registrations.giveBack(pin) else { return tree.unpin(pin) }
            serviceRevocations()
        }

        @inline(__always)
        public func serviceRevocations() {
            if registrations.isAskedFor { registrations.letGoOfWhatIsClosed() }
        }

        // Of the limit on what a device holds: a registration has its place from set-up on, also while it is let go and
        // the ranges of DMAs inside it are pinned one by one.
        var keptPages: UInt64 { registrations.pages }
        func pagesToRegister(_ ranges: [PageRange]) -> UInt64 {
            ranges.reduce(0) { $0 + $1.count.rawValue }
        }
        static let keepsItsPlace = true
        func keeps(_ range: PageRange) -> Bool { registrations.index(containing: range) != nil }
        func noteIdle() {}
        func keepAtMost(_ pages: UInt64) {}

        /// Takes the range's registration back, which was let go. Where it cannot, the range of this DMA alone may still be free:
        /// the caller pins that.
        @inline(never)
        private func takeBack(_ range: PageRange) -> Bool {
            guard let index = registrations.index(containing: range) else { return false }
            do throws(PinRefusal) {
                try registrations.takeBack(index)
                return true
            } catch {
                return false
            }
        }
    }
}
