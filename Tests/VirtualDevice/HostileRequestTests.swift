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
            status == [StatusRecord(.badRequest), StatusRecord(.ok, bytesWritten: pageSize)],
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
            .dataAddress(20 * pageSize + 1), .dataAddress(20 * pageSize + 64),
            .dataAddress(20 * pageSize + 4095), .dataAddress(UInt64.max),
            .dataAddress(UInt64.max - 4095), .dataAddress(1 << 63),
            .dataAddress(Bench.pages * pageSize), .dataAddress((Bench.pages - 1) * pageSize),
            .dataAddress(0), .dataAddress(PageRange.frameLimit * pageSize),
            .dataLength(0), .dataLength(1), .dataLength(4095), .dataLength(4097),
            .dataLength(UInt32.max), .dataLength(UInt32.max - 4095), .dataFlags(1),
            .requestType(0), .requestType(2), .requestType(UInt32.max),
        ] as [Tampering])
    func isRefused(_ tampering: Tampering) throws {
        // Two pages, so that the last page's address reaches past the end.
        try expectBadRequest([range(20..<22)], tampering)
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
            #expect(status == [nil, StatusRecord(.ok, bytesWritten: pageSize)])
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

    @Test func overlappingIsRefused() throws {
        try expectBadRequest([range(20..<24), range(23..<26)])
        try expectBadRequest([range(23..<26), range(20..<24)])
        try expectBadRequest([page(20), page(20)])
        try expectBadRequest([range(20..<30), page(25)])
        try expectBadRequest([page(40), range(20..<24), page(30), page(22)])
    }

    @Test func theQueueItselfIsRefused() throws {
        let pages = try Bench(RangeTree.self).queueArea
        for number in pages.lower..<pages.upper { try expectBadRequest([page(number)]) }
        try expectBadRequest([range(0..<20)])
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
        #expect(try bench.serve([[page(20)]]) == [StatusRecord(.ok, bytesWritten: pageSize)])
    }
}
