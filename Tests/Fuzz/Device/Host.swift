import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import Oracle
import PinLock
import Telemetry
import Virtqueue

@testable import VirtualDevice

/// What is made once, since it takes longer than an input: memory, and what measures.
final class Host {
    let guestView: GuestView
    /// The same memory as the device maps it: at first it can touch the queue area alone.
    let deviceView: GuestView
    let arena: Arena
    let ledger: SharedMapping
    let telemetry: DeviceTelemetry
    let writer: DmaWriter
    let clock = TickClock.calibrated()

    init() {
        let pages = PageCount(Machine.pages)
        func make(_ byteCount: Int) -> SharedMapping {
            try! SharedMapping.create(name: "fuzz", byteCount: byteCount)
        }
        let memory = make(Int(pages.bytes.rawValue))
        guestView = GuestView(memory)
        deviceView = GuestView(
            try! SharedMapping(mapping: .duplicate(memory.fileDescriptor), name: "fuzz"))
        arena = try! Arena.create(pages: pages, entrySize: .small)
        ledger = make(ConversionLedger.byteCount(pages: pages))
        telemetry = DeviceTelemetry(make(DeviceTelemetry.byteCount))
        // The loop ends where there is nothing to do.
        telemetry.shouldStop = true
        writer = try! DmaWriter(engine: .nt, lanes: 1, device: 0)
        deviceView.allow(false, deviceView.wholeRange)
        deviceView.allow(true, Machine.area)
    }

    func drainSamples(_ body: (DMASample) -> Void) {
        var consumer = telemetry.ring.consumer()
        consumer.drain(body)
    }
}

extension GuestView {
    fileprivate func allow(_ isAllowed: Bool, _ range: PageRange) {
        let bytes = bytes(of: range)
        let protection = isAllowed ? PROT_READ | PROT_WRITE : PROT_NONE
        precondition(mprotect(bytes.baseAddress, bytes.count, protection) == 0)
    }
}

/// A strategy's pinner, by whose answers the device's memory can be touched: while a pin is held, and no longer.
final class WatchedPinner: Pinner {
    /// Pinned for a request, or for the copy of a part of it.
    private(set) var held: [PageRange] = []
    /// Whether the queue itself has its pin.
    var isServing = false
    private let pinner: any Pinner
    private let view: GuestView

    init(_ pinner: any Pinner, _ view: GuestView) {
        self.pinner = pinner
        self.view = view
    }

    func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        guestMoves()
        let pin = try pinner.pin(ranges)
        if isServing {
            precondition(held.isEmpty, "a pin while \(held) are pinned")
            held = ranges.indices.map { ranges[$0] }
            for range in held { view.allow(true, range) }
        }
        guestMoves()
        return pin
    }

    func unpin(_ pin: Pin) {
        guestMoves()
        if !held.isEmpty {
            for range in held { view.allow(false, range) }
            // It may have been part of the request.
            view.allow(true, Machine.area)
            held = []
        }
        pinner.unpin(pin)
        guestMoves()
    }

    func register(_ ranges: [PageRange]) throws(PinRefusal) { try pinner.register(ranges) }
    func unregister() { pinner.unregister() }
    func serviceRevocations() { pinner.serviceRevocations() }
}
