import DmaLinux
import DmaWriter
import GuestMemory
import PinLock
import Testing

@testable import Hypervisor

/// What a device's own stores come to, in a mapping that its hypervisor has in its hands.
@Suite(
    .enabled(
        if: Fault.unavailability(pinning: PageCount(1)) == nil,
        "this machine has no userfaultfd that protects shared memory"))
struct DeviceMMUTests {
    private let host: Host
    /// The same memory where the device has it.
    private let device: GuestView
    private let mmu = DeviceMMU(isPaidFor: false)
    private let writer: DmaWriter

    init() throws {
        host = try Host()
        device = GuestView(
            try SharedMapping(
                mapping: try FileDescriptor.duplicate(host.view.mapping.fileDescriptor),
                name: "as the device has it"))
        host.oracle.arm([range(0..<64)])
        writer = try DmaWriter(engine: .nt, lanes: 1, device: 0, expectsFaults: true)
        try mmu.add(
            WriteProtection(of: device.bytes(of: device.wholeRange)), privateRanges: [range(0..<64)]
        )
    }

    /// How many bytes of the range a device can write.
    private func written(_ range: PageRange) -> UInt64 {
        UInt64(writer.write(device.bytes(of: range), stamp: writer.stamp(generation: 1)))
    }

    /// From the start on, and with every conversion, whatever strategy pays for it.
    @Test(arguments: ["fault", "rangetree"])
    func aDeviceWritesSharedPagesAlone(_ name: String) throws {
        let (handler, _) = try host.handler(
            try #require(Registry.strategy(named: name)), effects: host.effects(mmu: mmu))
        #expect(written(range(0..<64)) == 0)
        #expect(handler.ask(range(4..<12), toPrivate: false) == .done)
        #expect(written(range(4..<13)) == 8 * pageSize)
        #expect(handler.ask(page(9), toPrivate: true) == .done)
        #expect(written(range(4..<12)) == 5 * pageSize && written(page(9)) == 0)
        #expect(handler.takeBack(page(9)))
        #expect(written(range(4..<12)) == 8 * pageSize)
        #expect(host.oracle.violations == 0)
    }

    /// What comes behind the protection has the page for itself, on the way there and on the way back.
    @Test func aDeviceWritesNothingUnderTheOthersHands() throws {
        let witness = Witness { written(page(9)) }
        let (handler, _) = try host.handler(effects: host.effects(witness, mmu: mmu))
        #expect(handler.ask(page(9), toPrivate: false) == .done)
        #expect(handler.ask(page(9), toPrivate: true) == .done)
        #expect(witness.seen == [0, 0])
    }

    /// Looks how much a device can write while a conversion is about to commit.
    ///
    /// One thread has it and what it looks through.
    private final class Witness: PageStateEffect, @unchecked Sendable {
        let isPaidFor = false
        private(set) var seen: [UInt64] = []
        private let look: () -> UInt64

        init(_ look: @escaping () -> UInt64) { self.look = look }

        func willCommit(_ range: PageRange, to state: PageState) { seen.append(look()) }
    }

    /// What is protected is protected with the commit, and not before.
    @Test func aRefusedConversionTakesNothingFromTheDevice() throws {
        let (handler, strategy) = try host.handler(effects: host.effects(mmu: mmu))
        _ = handler.ask(range(4..<12), toPrivate: false)
        let pinner = strategy.pinner(for: DeviceID(0))
        let pin = try pinner.pin(page(6))
        #expect(handler.ask(range(4..<12), toPrivate: true) == .pinned(GFN(6)))
        #expect(written(range(4..<12)) == 8 * pageSize)
        pinner.unpin(pin)
        #expect(handler.host.effects.firstFailure == nil)
    }
}
