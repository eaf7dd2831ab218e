import DmaLinux
import Glibc
import GuestMemory
import Testing

@testable import PinLock

/// What the kernel holds for a pin, as the process's own accounts tell.
@Suite(
    .serialized,
    .enabled("io_uring or memory that may be locked is missing") {
        KernelPin.unavailability(pinning: PageCount(20_000)) == nil
    })
struct KernelPinTests {
    private let strategy: KernelPin
    private let memory: GuestView

    init() throws {
        let pages: UInt64 = 20_000
        strategy = try make(KernelPin.self, pages: pages, sharing: range(0..<pages))
        memory = GuestView(
            try SharedMapping.create(name: "guest", byteCount: Int(pages * pageSize)))
    }

    private func makePinner() throws -> KernelPin.Device {
        // The hypervisor is never asked.
        try strategy.pinner(
            for: DeviceID(0), in: DeviceSurroundings(memory: memory, hypervisor: -1))
    }

    /// Pinned memory of this process, in pages (VmPin of proc_pid_status(5)).
    private var pinnedPages: UInt64 {
        let lines = (readSmallFile("/proc/self/status") ?? "").split(separator: "\n")
        let words = lines.first { $0.hasPrefix("VmPin:") }?.split(whereSeparator: \.isWhitespace)
        return (words.flatMap { UInt64($0[1]) } ?? 0) / 4
    }

    @Test func thePagesArePinnedFromPinToUnpin() throws {
        let before = pinnedPages
        let device = try makePinner()
        let pin = try device.pin(range(3..<700))
        #expect(pinnedPages == before + 697)
        let another = try device.pin(range(600..<800))
        #expect(pinnedPages >= before + 800 - 3)
        device.unpin(pin)
        device.unpin(another)
        #expect(eventually { pinnedPages == before })
        #expect(strategy.arena.livePins == 0)
    }

    /// Each range has references of its own, and the places of those that are gone are taken again.
    @Test func allPagesOfAListArePinned() throws {
        let before = pinnedPages
        let device = try makePinner()
        for _ in 0..<20 {
            let pin = try device.pin(
                ((0..<UInt64(Pin.rangeLimit - 1)).map { page(1000 + 2 * $0) } + [range(3..<703)])
                    .span)
            #expect(pinnedPages == before + UInt64(Pin.rangeLimit) - 1 + 700)
            device.unpin(pin)
        }
        #expect(eventually { pinnedPages == before })
        #expect(strategy.arena.livePins == 0)
    }

    /// First the limit, and to what; whoever may do that may also be root.
    @Test func aLimitTooLowSaysWhichAndWhatItTakes() {
        let text = KernelPin.shortage(limit: ByteCount(8 << 20), needed: ByteCount(64 << 20))
        #expect(
            text == """
                the limit on locked memory (ulimit -l) is 8M, 64M are needed; raise it to 65536 KiB or more: memlock \
                in /etc/security/limits.conf, LimitMEMLOCK= of a service, --ulimit memlock= of a container; or run \
                as root
                """)
    }

    @Test func theyGoWithTheDevice() throws {
        let before = pinnedPages
        var device: KernelPin.Device? = try makePinner()
        _ = try device?.pin(range(0..<512))
        #expect(pinnedPages == before + 512)
        device = nil
        #expect(eventually { pinnedPages == before })
    }

    /// The kernel's table has 16,384 buffers.
    @Test func aFullTableRefusesAndLeavesNothing() throws {
        let device = try makePinner()
        let limit = UInt64(PinnedBuffers.capacity)
        let pins = try (0..<limit).map { page in try device.pin(range(page..<page + 1)) }
        #expect(refusalOfPin(range(limit..<limit + 1), by: device) == .tooManyPins(GFN(limit)))
        #expect(strategy.arena.livePins == pins.count)
        try strategy.convert(range(limit..<limit + 1), to: .private)
        for pin in pins { device.unpin(pin) }
        #expect(refusalOfPin(range(0..<1), by: device) == nil)
        #expect(try strategy.audit() == nil)
    }

    /// Nothing stays pinned, and the kernel's words are there for whoever asks, also through a limit.
    @Test func whatTheKernelRefusesIsTold() throws {
        let file = try SharedMapping.create(name: "cut", byteCount: Int(8 * pageSize))
        let device = try strategy.pinner(
            for: DeviceID(0), in: DeviceSurroundings(memory: GuestView(file), hypervisor: -1))
        #expect(refusalOfPin(range(0..<4), by: device) == nil && device.kernelRefusal == nil)
        // Behind the end of a file there is nothing to pin.
        try #require(ftruncate(file.fileDescriptor, 0) == 0)
        let limited = LimitedPinner(device, limit: PageCount(8))
        #expect(refusalOfPin(range(0..<4), by: limited) == .tooManyPins(GFN(0)))
        for refusal in [device.kernelRefusal, limited.kernelRefusal] {
            #expect(refusal?.call == "io_uring_register(BUFFERS_UPDATE)")
            #expect(refusal?.code == EFAULT && refusal?.subject == "16384 bytes")
        }
        #expect(strategy.arena.livePins == 0)
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2000 where !condition() { sleep(until: .after(milliseconds: 1)) }
        return condition()
    }
}
