import GuestMemory
import Linux

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
/// Its twins: VFIO and iommufd mappings, RDMA memory regions, io_uring's fixed buffers.
public struct LongLived: PinStrategy {
    public static let info = StrategyInfo(
        name: "longlived",
        summary: "pin at set-up through the range tree, hold across DMAs",
        isSafe: true,
        cost:
            "the guest: its buffers cannot be converted, or a conversion waits for the device to let go",
        policies: [.deny, .wait, .revoke],
        kernelNeeds: nil,
        twin:
            "VFIO (drivers/vfio/vfio_iommu_type1.c), iommufd, RDMA memory regions, io_uring fixed buffers"
    )

    public static func sectionByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }
    public static func metadataByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }

    public var arena: Arena { tree.arena }
    private let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> Device {
        Device(
            CountedPins(tree.cover, arena: arena, device: device), forest: tree.cover.forest,
            device: device)
    }

    public func close(_ range: PageRange) { tree.close(range) }
    public func open(_ range: PageRange) { tree.open(range) }
    public func firstPinned(in range: PageRange) -> GFN? { tree.firstPinned(in: range) }
    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try tree.recover(device, until: deadline)
    }
    public func audit() throws(SystemError) -> String? { try tree.audit() }

    public final class Device: Pinner {
        private struct Registration {
            let range: PageRange
            /// Nil while it is let go.
            var pin: Pin?
        }

        /// Marks a token that stands on a registration: no journal entry of its own.
        private static let registered = -1

        private let tree: CountedPins<ForestCover>
        private let forest: Forest
        private let device: DeviceID
        /// In order of their starts.
        private var registrations: [Registration] = []
        /// Where the next range of a scatter-gather list is likely to be.
        private var expected = 0
        /// Tokens that stand on registrations: none is let go until all are back, since a request may have several.
        private var tokens = 0
        private var revocationsSeen: UInt32

        init(_ tree: CountedPins<ForestCover>, forest: Forest, device: DeviceID) {
            self.tree = tree
            self.forest = forest
            self.device = device
            revocationsSeen = tree.coordination.revocationCount
        }

        public func register(_ ranges: [PageRange]) throws(PinRefusal) {
            for range in ranges {
                do throws(PinRefusal) {
                    registrations.append(Registration(range: range, pin: try tree.pin(range)))
                } catch {
                    unregister()
                    throw error
                }
            }
            registrations.sort { $0.range.lower < $1.range.lower }
        }

        public func unregister() {
            precondition(tokens == 0, "\(device) unregisters under \(tokens) pins")
            for registration in registrations {
                if let pin = registration.pin { tree.unpin(pin) }
            }
            registrations = []
        }

        public func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
            serviceRevocations()
            if let index = registration(containing: range) {
                if registrations[index].pin == nil { registerAgain(index) }
                if registrations[index].pin != nil {
                    tokens += 1
                    return Pin(range: range, device: device, entry: Self.registered, ticket: 0)
                }
            }
            return try tree.pin(range)
        }

        public func unpin(_ pin: Pin) {
            guard pin.entry == Self.registered else { return tree.unpin(pin) }
            precondition(
                pin.device == device && tokens > 0, "unpin of a pin that \(device) does not hold")
            tokens -= 1
            serviceRevocations()
        }

        public func serviceRevocations() {
            let asked = tree.coordination.revocationCount
            guard asked != revocationsSeen, tokens == 0 else { return }
            revocationsSeen = asked
            for index in registrations.indices {
                guard let pin = registrations[index].pin,
                    forest.firstClosed(in: registrations[index].range) != nil
                else { continue }
                tree.unpin(pin)
                registrations[index].pin = nil
            }
        }

        /// Takes a registration back that was let go, if nothing in it is private or being converted.
        @inline(never)
        private func registerAgain(_ index: Int) {
            do throws(PinRefusal) {
                registrations[index].pin = try tree.pin(registrations[index].range)
            } catch {
                // The range of this DMA alone may still be free: the caller pins that.
            }
        }

        /// The registration that has all of the range: the one behind the last, else by binary search.
        private func registration(containing range: PageRange) -> Int? {
            if expected < registrations.count, registrations[expected].range.contains(range) {
                let index = expected
                expected = index + 1 == registrations.count ? 0 : index + 1
                return index
            }
            var low = 0
            var high = registrations.count
            while low < high {
                let middle = (low + high) / 2
                if registrations[middle].range.lower <= range.lower {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            guard low > 0, registrations[low - 1].range.contains(range) else { return nil }
            expected = low == registrations.count ? 0 : low
            return low - 1
        }
    }
}
