import GuestMemory
import Testing
import Virtqueue

/// Chains that no driver builds, each refused for the right reason.
@Suite struct HostileChainTests {
    private typealias D = RawDescriptor

    @Test func aChainBuiltByHandIsValid() throws {
        let guest = try hostileGuest()
        guest.setChain(guest.validChain(pages: [40, 50]))
        expect(.valid, from: guest, tellsStatus: true)
    }

    // MARK: The chain

    @Test(arguments: [UInt16(8), 9, 0xffff])
    func nextOutOfRange(next: UInt16) throws {
        let guest = try hostileGuest()
        guest.setChain([guest.header, guest.data(page: 40, next: next)])
        expect(.invalid(.descriptorOutOfRange(next)), from: guest, tellsStatus: false)
    }

    @Test func nextOutOfAnIndirectTable() throws {
        let guest = try hostileGuest()
        let table = guest.layout.indirectTablesOffset
        // Descriptor 3 is in the area, but the table has three.
        guest.setChain(
            [guest.header, guest.data(page: 40, next: 3), guest.status, guest.status],
            tableAt: table)
        guest.set(D(guest.indirectAddress, 48, D.indirect), at: 0)
        expect(.invalid(.descriptorOutOfRange(3)), from: guest, tellsStatus: false)
    }

    @Test func loops() throws {
        let guest = try hostileGuest()
        guest.setChain([guest.header, guest.data(page: 40, next: 2), guest.data(page: 42, next: 1)])
        expect(.invalid(.chainTooLong), from: guest, tellsStatus: false)
        guest.setChain([guest.header, guest.data(page: 40, next: 1)])
        expect(.invalid(.chainTooLong), from: guest, tellsStatus: false)
    }

    /// A chain of the queue's size passes; one more, by way of an indirect table, does not, nor does a longer table
    /// (2.7.5.3.1).
    @Test func chainLongerThanTheQueue() throws {
        let guest = try hostileGuest()
        let table = guest.layout.indirectTablesOffset
        let pages = (0..<6).map { 40 + 2 * UInt64($0) }
        guest.setChain(guest.validChain(pages: pages), tableAt: table)
        guest.set(D(guest.indirectAddress, 128, D.indirect), at: 0)
        expect(.valid, from: guest, tellsStatus: true)
        guest.set(D(guest.indirectAddress, 144, D.indirect), at: 0)
        expect(.invalid(.indirectTableLength(144)), from: guest, tellsStatus: false)
        // One descriptor before the table, and the queue's size of them in it.
        guest.setChain([guest.header, D(guest.indirectAddress, 128, D.indirect)])
        for index in 0..<8 {
            guest.set(guest.data(page: 40, next: UInt16(index + 1)), at: index, tableAt: table)
        }
        expect(.invalid(.chainTooLong), from: guest, tellsStatus: false)
    }

    /// Chained descriptors may come before the table, whose write flag means nothing (2.7.5.3.2).
    @Test func indirectTableBehindDescriptors() throws {
        let guest = try hostileGuest()
        guest.setChain([
            guest.header, guest.data(page: 40, next: 2),
            D(guest.indirectAddress, 32, D.indirect | D.write, next: 99),
        ])
        let table = guest.layout.indirectTablesOffset
        guest.set(guest.data(page: 42, next: 1), at: 0, tableAt: table)
        guest.set(guest.status, at: 1, tableAt: table)
        expect(.valid, from: guest, tellsStatus: true)
    }

    @Test func nestedIndirect() throws {
        let guest = try hostileGuest()
        let table = guest.layout.indirectTablesOffset
        guest.setChain(
            [guest.header, D(guest.indirectAddress, 48, D.indirect), guest.status], tableAt: table)
        guest.set(D(guest.indirectAddress, 48, D.indirect), at: 0)
        expect(.invalid(.nestedIndirect), from: guest, tellsStatus: false)
    }

    @Test func indirectWithNext() throws {
        let guest = try hostileGuest()
        let table = guest.layout.indirectTablesOffset
        guest.setChain(guest.validChain(pages: [40]), tableAt: table)
        guest.set(D(guest.indirectAddress, 48, D.indirect | D.next, next: 1), at: 0)
        expect(.invalid(.indirectWithNext), from: guest, tellsStatus: false)
    }

    @Test(arguments: [UInt32(0), 8, 47, 49, 0xffff_ffff])
    func indirectTableLength(length: UInt32) throws {
        let guest = try hostileGuest()
        let table = guest.layout.indirectTablesOffset
        guest.setChain(guest.validChain(pages: [40]), tableAt: table)
        guest.set(D(guest.indirectAddress, length, D.indirect), at: 0)
        expect(.invalid(.indirectTableLength(length)), from: guest, tellsStatus: false)
    }

    @Test func indirectTableOutsideGuestMemory() throws {
        let guest = try hostileGuest()
        let end = 64 * pageSize
        for address in [end - 32, end, 1 << 40, UInt64.max - 15, UInt64.max] {
            guest.set(D(address, 48, D.indirect), at: 0)
            expect(.invalid(.indirectTablePlace(address)), from: guest, tellsStatus: false)
        }
        guest.set(D(guest.indirectAddress, 0xffff_fff0, D.indirect), at: 0)
        expect(
            .invalid(.indirectTableLength(0xffff_fff0)), from: guest, tellsStatus: false)
    }

    // MARK: Header and status

    private func expectFault(
        header: RawDescriptor? = nil, status: RawDescriptor? = nil, _ reason: BadRequest,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let guest = try hostileGuest()
        var chain = guest.validChain(pages: [40])
        if let header { chain[0] = header }
        if let status { chain[2] = status }
        guest.setChain(chain)
        expect(
            .invalid(reason), from: guest, tellsStatus: status == nil,
            sourceLocation: sourceLocation)
    }

    @Test func badHeader() throws {
        let guest = try hostileGuest()
        let good = guest.header
        try expectFault(
            header: D(good.address, 16, D.next | D.write, next: 1), .headerNotReadable)
        for length in [0, 15, 17, 4096, 0xffff_ffff] as [UInt32] {
            try expectFault(
                header: D(good.address, length, D.next, next: 1), .headerLength(length))
        }
        let end = 64 * pageSize
        for address in [end - 8, end, 1 << 40, UInt64.max - 15, UInt64.max - 7, UInt64.max] {
            try expectFault(header: D(address, 16, D.next, next: 1), .headerPlace(address))
        }
    }

    /// Whatever its data is: nobody touches that. Answered as VIRTIO wants it (5.2.6).
    @Test(arguments: [UInt32(2), 3, 11, 13, 0xffff_ffff])
    func unknownType(type: UInt32) throws {
        for data in [
            D(40 * pageSize, 4096, D.write | D.next, next: 2), D(1 << 40, 0, D.next, next: 2),
        ] {
            let guest = try hostileGuest()
            guest.setChain([guest.header, data, guest.status])
            guest.setHeader(type: type)
            var device = Device(guest)
            guest.publish(head: 0, index: 0)
            #expect(device.next() == .unsupported(type))
            let isEmpty = device.request.segments.isEmpty
            #expect(isEmpty)
            device.complete(.unsupported)
            let status = guest.load(UInt8.self, at: guest.layout.recordsOffset + 32)
            #expect(status == 2)
            let element = guest.usedElement(0)
            #expect(element == (0, data.flags & D.write == 0 ? 1 : 0))
        }
    }

    @Test func badStatus() throws {
        let guest = try hostileGuest()
        let good = guest.status
        try expectFault(status: D(good.address, 1, 0), .statusNotWritable)
        for length in [0, 2, 32, 0xffff_ffff] as [UInt32] {
            try expectFault(status: D(good.address, length, D.write), .statusLength(length))
        }
        for address in [64 * pageSize, 1 << 40, UInt64.max] {
            try expectFault(status: D(address, 1, D.write), .statusPlace(address))
        }
    }

    @Test func chainsTooShort() throws {
        let guest = try hostileGuest()
        guest.setChain([D(guest.headerAddress, 16, 0)])
        expect(.invalid(.noStatus), from: guest, tellsStatus: false)
        guest.setChain([guest.header, guest.status])
        expect(.invalid(.noData), from: guest, tellsStatus: true)
    }
}
