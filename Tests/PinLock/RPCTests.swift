import DmaLinux
import Glibc
import GuestMemory
import Testing

@testable import PinLock

/// The device's side and the hypervisor's, each at its end of a socket.
@Suite struct RPCTests {
    private let strategy: RPC
    private let near: Int32
    private let far: Int32

    init() throws {
        strategy = try make(RPC.self, pages: 16, sharing: range(0..<8))
        (near, far) = try FileDescriptor.packetPair()
    }

    /// Runs `body` with a device whose hypervisor answers, and waits until that has ended.
    private func withDevice(_ body: (RPC.Device) throws -> Void) throws {
        defer { for end in [near, far] { close(end) } }
        let (strategy, near) = (strategy, near)
        let server = JoinableThread(
            try WorkerThread(name: "serve") {
                try? strategy.serve(DeviceID(0), on: near) { _ in false }
            })
        defer { server.join() }
        let memory = try SharedMapping.create(name: "guest", byteCount: 16 * Int(pageSize))
        try body(
            strategy.pinner(
                for: DeviceID(0),
                in: DeviceSurroundings(memory: GuestView(memory), hypervisor: far)))
    }

    @Test func pinsAreTheHypervisorsOwn() throws {
        try withDevice { device in
            let pin = try device.pin(range(2..<7))
            #expect(pin.range == range(2..<7) && pin.device == DeviceID(0))
            #expect(strategy.arena.journal(of: DeviceID(0)).heldPins == [range(2..<7)])
            #expect(strategy.refusalOfConversion(range(0..<4), to: .private) == .pinned(GFN(2)))
            device.unpin(pin)
            #expect(strategy.arena.livePins == 0)
            #expect(refusalOfPin(range(6..<10), by: device) == .privatePage(GFN(8)))
            #expect(refusalOfPin(range(6..<17), by: device) == .outOfRange(GFN(16)))
        }
        #expect(try strategy.audit() == nil)
    }

    @Test func aListCrossesTheSocketWhole() throws {
        try withDevice { device in
            for list in [
                [page(7), range(0..<3)],
                Array(repeating: page(1), count: Pin.rangeLimit - 1) + [page(6)],
            ] {
                let pin = try device.pin(list.span)
                #expect(strategy.arena.journal(of: DeviceID(0)).heldPins == list)
                device.unpin(pin)
                #expect(strategy.arena.livePins == 0)
            }
            #expect(throws: PinRefusal.privatePage(GFN(8))) {
                try device.pin([page(1), range(7..<9)].span)
            }
        }
        #expect(try strategy.audit() == nil)
    }

    @Test func aFullJournalIsToldOverTheSocket() throws {
        try withDevice { device in
            var pins = try (0..<UInt64(Journal.capacity)).map { try device.pin(page($0 % 8)) }
            #expect(refusalOfPin(page(3), by: device) == .tooManyPins(GFN(3)))
            device.unpin(pins.removeLast())
            #expect(refusalOfPin(page(3), by: device) == nil)
            for pin in pins { device.unpin(pin) }
        }
        #expect(strategy.arena.livePins == 0)
        #expect(try strategy.audit() == nil)
    }

    /// The serving thread ends, and what the device held is recovered from the journal.
    @Test func aDeviceThatGoesIsRecovered() throws {
        try withDevice { device in
            _ = try device.pin(range(0..<3))
            shutdown(far, Int32(SHUT_RDWR))
        }
        #expect(strategy.arena.livePins == 1)
        #expect(try strategy.recover(DeviceID(0), until: .after(milliseconds: 1000)) == 1)
        try strategy.convert(range(0..<3), to: .private)
        #expect(try strategy.audit() == nil)
    }

    @Test func withoutAHypervisorNothingIsPinned() throws {
        try withDevice { device in
            shutdown(near, Int32(SHUT_RDWR))
            #expect(refusalOfPin(range(0..<1), by: device) == .converting(GFN(0)))
        }
        #expect(strategy.arena.livePins == 0)
    }
}
