import GuestMemory
import Linux

/// Let the kernel pin the pages, for each DMA: what an answer of the kernel costs.
///
/// The idea: the device registers the range as io_uring buffers before the write and takes them back after it. The
/// kernel finds every page's frame and takes a long-term reference to it (FOLL_LONGTERM), as it does for VFIO and
/// RDMA. Such a reference keeps the frame in place; it does not know of private and shared. So exclusion against the
/// converter comes from the range tree beside it: read the time less `rangetree`'s as the kernel's.
///
/// Why no page is both pinned and private: a pin is one of the range tree first.
///
/// Cost: the device pays two system calls per GiB and a page-table walk with a reference per 4 KiB page, or per huge
/// page; references are dropped in the second call. A process without CAP_IPC_LOCK needs RLIMIT_MEMLOCK for all of it.
///
/// Its precedents: io_uring's registered buffers (Linux, io_uring/rsrc.c), pin_user_pages() (mm/gup.c), on which VFIO and
/// RDMA stand.
public struct KernelPin: StandsOnTree {
    public static let info = StrategyInfo(
        name: "kernelpin",
        summary:
            "the kernel pins: io_uring buffers, registered for each DMA; exclusion still comes from the range tree",
        isSafe: true,
        cost: "the device: two system calls and a reference to every page, per DMA",
        policies: [.deny, .wait],
        kernelNeeds: "io_uring (5.19), and memory that may be locked: CAP_IPC_LOCK or ulimit -l",
        precedent:
            "pin_user_pages() (mm/gup.c) as called by io_uring (io_uring/rsrc.c), VFIO and RDMA",
        family: .askers, place: 0)

    public static func unavailability(pinning pages: PageCount) -> String? {
        do throws(SystemError) {
            _ = try PinnedBuffers()
        } catch {
            return error.description
        }
        let limit = LockedMemory.raiseLimit()
        guard limit < pages.bytes.rawValue, !LockedMemory.isExempt else { return nil }
        return shortage(limit: ByteCount(limit), needed: pages.bytes)
    }

    /// `limit` is the hard one, which users cannot raise themselves.
    static func shortage(limit: ByteCount, needed: ByteCount) -> String {
        let kibibytes = (needed.rawValue + 1023) / 1024
        return """
            the limit on locked memory (ulimit -l) is \(limit), \(needed) are needed; raise it to \(kibibytes) KiB \
            or more: memlock in /etc/security/limits.conf, LimitMEMLOCK= of a service, --ulimit memlock= of a \
            container; or run as root
            """
    }

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    /// Without a process there is no memory to pin: the tree alone.
    public func pinner(for device: DeviceID) -> Device {
        Device(tree.pinner(for: device), kernel: nil)
    }

    public func pinner(
        for device: DeviceID, in process: DeviceSurroundings
    ) throws(SystemError) -> Device {
        _ = LockedMemory.raiseLimit()
        return Device(tree.pinner(for: device), kernel: try KernelReferences(process.memory))
    }

    public final class Device: Pinner {
        private let tree: RangeTree.Device
        private let kernel: KernelReferences?

        public var kernelRefusal: SystemError? { kernel?.refusal }

        init(_ tree: RangeTree.Device, kernel: KernelReferences?) {
            self.tree = tree
            self.kernel = kernel
        }

        public func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
            let pin = try tree.pin(range)
            guard kernel?.take(range, for: pin.entry) != false else {
                tree.unpin(pin)
                throw .tooManyPins(range.start)
            }
            return pin
        }

        public func unpin(_ pin: Pin) {
            kernel?.giveBack(pin.entry)
            tree.unpin(pin)
        }
    }
}

/// The kernel's references to the pages of each pin: chains of buffer slots, one slot per GiB.
final class KernelReferences {
    private let memory: GuestView
    private let buffers: PinnedBuffers
    /// Empty slots, the next one last.
    private var empty: [UInt16]
    /// The first slot of each pin's chain, by journal entry, and the slot behind each slot; `none` ends a chain.
    private var first: [UInt16]
    private var next: [UInt16]

    /// What the kernel said when it last refused references.
    private(set) var refusal: SystemError?

    private static let none = UInt16.max

    init(_ memory: GuestView) throws(SystemError) {
        self.memory = memory
        buffers = try PinnedBuffers()
        empty = (0..<UInt16(PinnedBuffers.capacity)).reversed()
        first = Array(repeating: Self.none, count: Journal.capacity)
        next = Array(repeating: Self.none, count: PinnedBuffers.capacity)
    }

    /// Pins the range's pages for a journal entry; false, with nothing pinned, where the kernel or the table is full.
    func take(_ range: PageRange, for entry: Int) -> Bool {
        var rest = memory.bytes(of: range)[...]
        while !rest.isEmpty {
            let part = rest.prefix(PinnedBuffers.bufferByteLimit)
            guard let slot = empty.popLast() else {
                giveBack(entry)
                return false
            }
            do throws(SystemError) {
                try buffers.set(Int(slot), UnsafeMutableRawBufferPointer(rebasing: part))
            } catch {
                refusal = error
                empty.append(slot)
                giveBack(entry)
                return false
            }
            next[Int(slot)] = first[entry]
            first[entry] = slot
            rest = rest.dropFirst(part.count)
        }
        return true
    }

    func giveBack(_ entry: Int) {
        while first[entry] != Self.none {
            let slot = first[entry]
            buffers.clear(Int(slot))
            first[entry] = next[Int(slot)]
            empty.append(slot)
        }
    }
}
