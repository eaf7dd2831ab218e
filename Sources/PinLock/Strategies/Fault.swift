import DmaLinux
import GuestMemory

/// No lock, and no harm: a page that has been converted cannot be written any more, and the device copes.
///
/// The idea: a conversion to private first takes the page from the devices, by write-protecting it in their address
/// spaces (userfaultfd(2), driven by the hypervisor). A device that writes there faults. Then the request fails, or
/// waits until the guest shares the page again, or has the hypervisor take it back (`--on-fault`). A pin is a look at
/// nothing: the pages may go at any time.
///
/// Why no private page is written: the protection is in force on every processor before the conversion commits. Pages
/// are *not* kept shared while a device uses them: what it wrote there is lost to it.
///
/// What lies in a device's write-combining buffers by then, the interrupt of the TLB shootdown empties: this strategy
/// and `--enforce mmu` rely on that. Where the kernel invalidates by broadcast, without an interrupt (AMD's INVLPGB), a
/// non-temporal store that was translated before might land after the protection. The canary would show it; no such
/// machine was tried.
///
/// Cost: the device pays nothing while no page is converted. A conversion pays a system call per device and interrupts
/// the processors on which it runs (a TLB shootdown); a fault costs a signal, and what comes of it.
///
/// Its precedents: "or be prepared for faults" (Andy Lutomirski in the thread); SIGBUS on a private page of guest_memfd;
/// RDMA's on-demand paging.
public struct Fault: KeepsNothing {
    public static let info = StrategyInfo(
        name: "fault",
        summary:
            "no lock: a converted page is write-protected in the devices (userfaultfd), and a write there faults",
        isSafe: true,
        cost:
            "the converter: a system call and a TLB shootdown per device; the device: a fault, rarely",
        policies: [.deny, .wait],
        kernelNeeds: "userfaultfd with write protection of shared memory (6.4), 4 KiB pages",
        precedent:
            "SIGBUS on private pages of guest_memfd (virt/kvm/guest_memfd.c); RDMA on-demand paging",
        family: .detours, place: 2,
        protectsPages: true, isServed: true)

    public static func metadataByteCount(pages: PageCount) -> Int { 0 }

    public static func unavailability(pinning pages: PageCount) -> String? {
        do throws(SystemError) {
            let memory = try SharedMapping.create(name: "probe", byteCount: Int(pageSize))
            let bytes = UnsafeMutableRawBufferPointer(start: memory.base, count: memory.byteCount)
            try WriteProtection(of: bytes).set(true, 0..<pageSize)
            return nil
        } catch {
            return error.description
        }
    }

    public let arena: Arena

    public init(arena: Arena) { self.arena = arena }

    public func pinner(for device: DeviceID) -> Device { Device(device, hypervisor: nil) }

    public func pinner(for device: DeviceID, in process: DeviceSurroundings) -> Device {
        Device(device, hypervisor: process.hypervisor)
    }

    public final class Device: Pinner {
        private let device: DeviceID
        private let hypervisor: Int32?

        init(_ device: DeviceID, hypervisor: Int32?) {
            self.device = device
            self.hypervisor = hypervisor
        }

        deinit {
            // Ends `serve`.
            if let hypervisor {
                _ = try? PacketSocket.send(PageRequest(gfn: PageRequest.none), to: hypervisor)
            }
        }

        public func pin(_ ranges: Span<PageRange>) -> Pin {
            Pin(range: ranges[0], device: device, entry: 0, ticket: 0)
        }
        public func unpin(_ pin: Pin) {}
    }

    /// Has pages shared again that a device has faulted on.
    public func serve(
        _ device: DeviceID, on socket: Int32, takeBack: (PageRange) -> Bool
    ) throws(SystemError) {
        var request = PageRequest(gfn: PageRequest.none)
        while try PacketSocket.receive(&request, from: socket), request.gfn != PageRequest.none {
            let isShared =
                request.gfn.rawValue < arena.pages.rawValue
                && takeBack(PageRange(start: request.gfn.rawValue, count: 1))
            guard try PacketSocket.send(isShared, to: socket) else { return }
        }
    }
}
