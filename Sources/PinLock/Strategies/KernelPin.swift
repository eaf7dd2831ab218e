import DmaLinux
import Glibc
import GuestMemory

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

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let pin = try tree.pin(ranges)
            guard kernel?.take(ranges, for: pin.entry) != false else {
                tree.unpin(pin)
                throw .tooManyPins(ranges[0].start)
            }
            return pin
        }

        public func unpin(_ pin: Pin) {
            kernel?.giveBack(pin.entry)
            tree.unpin(pin)
        }
    }
}

/// The kernel's references to the pages of each pin: a run of buffer slots, one slot for each range and each GiB of it, taken
/// and given back with one call.
final class KernelReferences {
    private let memory: GuestView
    private let buffers: PinnedBuffers
    private var isTaken: [Bool]
    /// Where the next run is likely to be free.
    private var next = 0
    /// The run of each pin, by journal entry.
    private var runs: [Int: Range<Int>] = [:]
    /// What one call is told; its memory is kept.
    private var parts: [iovec] = []

    /// What the kernel said when it last refused references.
    private(set) var refusal: SystemError?

    init(_ memory: GuestView) throws(SystemError) {
        self.memory = memory
        buffers = try PinnedBuffers()
        isTaken = Array(repeating: false, count: PinnedBuffers.capacity)
    }

    /// Pins the ranges' pages for a journal entry; false, with nothing pinned, where the kernel or the table is full.
    func take(_ ranges: Span<PageRange>, for entry: Int) -> Bool {
        parts.removeAll(keepingCapacity: true)
        for index in ranges.indices {
            var rest = memory.bytes(of: ranges[index])[...]
            while !rest.isEmpty {
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: rest.prefix(PinnedBuffers.bufferByteLimit))
                parts.append(iovec(iov_base: part.baseAddress, iov_len: part.count))
                rest = rest.dropFirst(part.count)
            }
        }
        guard let run = freeRun(of: parts.count) else { return false }
        do throws(SystemError) {
            try buffers.set(run.lowerBound, parts)
        } catch {
            refusal = error
            return false
        }
        for slot in run { isTaken[slot] = true }
        runs[entry] = run
        next = run.upperBound
        return true
    }

    func giveBack(_ entry: Int) {
        guard let run = runs.removeValue(forKey: entry) else { return }
        buffers.clear(run)
        for slot in run { isTaken[slot] = false }
        next = run.lowerBound
    }

    private func freeRun(of count: Int) -> Range<Int>? {
        for start in [next, 0] {
            var length = 0
            for slot in start..<isTaken.count {
                length = isTaken[slot] ? 0 : length + 1
                if length == count { return slot + 1 - count..<slot + 1 }
            }
        }
        return nil
    }
}
