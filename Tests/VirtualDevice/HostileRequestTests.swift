import GuestMemory
import PinLock
import Testing
import Virtqueue

@testable import VirtualDevice

/// What a guest could write into its queue to make a device write where it must not.
@Suite struct HostileRequestTests {
    /// One descriptor of the first request, as it lies in guest memory: VIRTIO 1.2, 2.7.5.
    enum Tampering: Sendable, CustomStringConvertible {
        case dataAddress(UInt64)
        case dataLength(UInt32)
        case dataFlags(UInt16)
        case requestType(UInt32)

        var description: String {
            switch self {
            case .dataAddress(let address): "address 0x\(String(address, radix: 16))"
            case .dataLength(let length): "length 0x\(String(length, radix: 16))"
            case .dataFlags(let flags): "flags \(flags)"
            case .requestType(let type): "type \(type)"
            }
        }

        func apply(to area: UnsafeMutableRawPointer, _ layout: VirtqueueLayout) {
            let data = area + 16
            switch self {
            case .dataAddress(let address): data.storeBytes(of: address, as: UInt64.self)
            case .dataLength(let length):
                data.storeBytes(of: length, toByteOffset: 8, as: UInt32.self)
            case .dataFlags(let flags):
                data.storeBytes(of: flags, toByteOffset: 12, as: UInt16.self)
            case .requestType(let type):
                (area + layout.recordsOffset).storeBytes(of: type, as: UInt32.self)
            }
        }
    }

    /// Refused as a whole, told so, and the next request is served.
    private func expectBadRequest(
        _ data: [PageRange], _ tampering: Tampering? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let bench = try Bench(RangeTree.self)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        let status = try bench.serve([data, [page(60)]]) {
            tampering?.apply(to: $0, bench.layout)
        }
        #expect(
            status == [Answer(.badRequest), Answer(.ok, bytesWritten: pageSize)],
            sourceLocation: sourceLocation)
        let pages = bench.pages(writtenBy: 2)
        #expect(pages.written == [60], sourceLocation: sourceLocation)
        #expect(
            pages.untouched.count == Int(bench.dataPages.count.rawValue) - 1,
            sourceLocation: sourceLocation)
        #expect(bench.pinsInFlight == 0, sourceLocation: sourceLocation)
        // A request that is none leaves no sample.
        #expect(bench.takeSamples().map(\.generation) == [2], sourceLocation: sourceLocation)
    }

    @Test(
        arguments: [
            .dataAddress(UInt64.max), .dataAddress(UInt64.max - 4095), .dataAddress(1 << 63),
            .dataAddress(Bench.pages * pageSize), .dataAddress((Bench.pages - 1) * pageSize),
            .dataAddress((Bench.pages - 2) * pageSize + 1),
            .dataAddress(PageRange.frameLimit * pageSize),
            .dataLength(0), .dataLength(UInt32.max), .dataLength(UInt32.max - 4095),
            .dataFlags(1), .requestType(1),
        ] as [Tampering])
    func isRefused(_ tampering: Tampering) throws {
        // Two pages, so that the last page's address reaches past the end.
        try expectBadRequest([range(20..<22)], tampering)
    }

    /// Told that the device does not know how, and no page is touched.
    @Test(arguments: [UInt32(2), 11, UInt32.max])
    func anUnknownTypeIsUnsupported(type: UInt32) throws {
        let bench = try Bench(RangeTree.self)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        var driver = bench.makeDriver()
        var loop = try bench.makeLoop()
        try driver.submit(data: [page(20)], generation: 1)
        Tampering.requestType(type).apply(to: bench.view.pointer(to: bench.queueArea), bench.layout)
        bench.telemetry.shouldStop = true
        #expect(loop.run() == nil)
        #expect(try driver.poll()?.status == .unsupported)
        #expect(bench.pages(writtenBy: 1).untouched.count == Int(bench.dataPages.count.rawValue))
        #expect(bench.takeSamples().isEmpty && bench.pinsInFlight == 0)
    }

    /// A chain that ends at its data names no place for a status: it is used all the same.
    @Test func withoutAStatusIsUsedAndNotWritten() throws {
        let bench = try Bench(RangeTree.self)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        for flags in [0, 2] as [UInt16] {
            let status = try bench.serve([[page(20)], [page(60)]]) {
                Tampering.dataFlags(flags).apply(to: $0, bench.layout)
            }
            #expect(status == [nil, Answer(.ok, bytesWritten: pageSize)])
            #expect(bench.pages(writtenBy: 1).written.isEmpty)
        }
    }

    @Test func outOfBoundsIsRefused() throws {
        for data in [
            range(63..<65), page(64), page(1 << 31), range(16..<65_536),
        ] {
            try expectBadRequest([data])
            try expectBadRequest([page(20), data])
        }
    }

    /// A guest may name a page twice: it is pinned twice, and written twice.
    @Test func overlappingIsServed() throws {
        for data in [
            [range(20..<24), range(23..<26)], [range(23..<26), range(20..<24)],
            [page(20), page(20)], [range(20..<30), page(25)],
            [page(40), range(20..<24), page(30), page(22)],
        ] {
            for chunk in [1, 3, PageRange.frameLimit] {
                let bench = try Bench(RangeTree.self)
                bench.fill()
                try bench.convert(range(16..<64), to: .shared)
                var options = Bench.Options()
                options.chunk = chunk
                let bytes = data.reduce(0) { $0 + $1.count.bytes.rawValue }
                #expect(
                    try bench.serve([data], options) == [Answer(.ok, bytesWritten: bytes)])
                let pages = Set(data.flatMap { $0.lower..<$0.upper })
                #expect(bench.pages(writtenBy: 1).written == pages)
                #expect(bench.pinsInFlight == 0)
            }
        }
    }

    /// A guest that has its own queue written harms itself alone.
    @Test func theQueueItselfIsTheGuestsLoss() throws {
        let bench = try Bench(RangeTree.self)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        let area = bench.queueArea
        for data in (area.lower..<area.upper).map(page) + [range(0..<20)] {
            _ = try? bench.serve([[data], [page(30)]])
            #expect(bench.pinsInFlight == 0)
            #expect(try bench.serve([[page(60)]]) == [Answer(.ok, bytesWritten: pageSize)])
        }
        #expect(try bench.strategy.audit() == nil)
    }

    @Test func aBrokenQueueEndsTheLoop() throws {
        let bench = try Bench(RangeTree.self)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        #expect(throws: BrokenQueue.availableIndexRanAhead(by: 17, room: 16)) {
            try bench.serve([[page(20)]]) { area in
                (area + bench.layout.availableRingOffset).storeBytes(
                    of: 17, toByteOffset: 2, as: UInt16.self)
            }
        }
        #expect(throws: BrokenQueue.headOutOfRange(16)) {
            try bench.serve([[page(20)]]) { area in
                (area + bench.layout.availableRingOffset).storeBytes(
                    of: 16, toByteOffset: 4, as: UInt16.self)
            }
        }
        #expect(bench.pinsInFlight == 0)
        #expect(bench.pages(writtenBy: 1).written.isEmpty)
        // After a reset of the queue the device serves as before.
        #expect(try bench.serve([[page(20)]]) == [Answer(.ok, bytesWritten: pageSize)])
    }
}
