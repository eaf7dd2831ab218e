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

    /// A chain of the queue's size passes; one more, by way of an indirect table, does not
    /// (2.7.5.3.1).
    @Test(arguments: [(6, true), (7, false)])
    func chainLongerThanTheQueue(dataDescriptors: Int, passes: Bool) throws {
        let guest = try hostileGuest()
        let table = guest.layout.indirectTablesOffset
        let pages = (0..<dataDescriptors).map { 40 + 2 * UInt64($0) }
        guest.setChain(guest.validChain(pages: pages), tableAt: table)
        guest.set(D(guest.indirectAddress, UInt32(16 * (pages.count + 2)), D.indirect), at: 0)
        expect(passes ? .valid : .invalid(.chainTooLong), from: guest, tellsStatus: false)
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

    @Test func indirectTableOutsideTheQueueArea() throws {
        let guest = try hostileGuest()
        let (start, end) = (guest.area.start.address, guest.area.upper * pageSize)
        for address in [0, start - 16, start + 8, end - 32, end, UInt64.max - 15] {
            guest.set(D(address, 48, D.indirect), at: 0)
            expect(.invalid(.indirectTablePlace(address)), from: guest, tellsStatus: false)
        }
        guest.set(D(guest.indirectAddress, 0xffff_fff0, D.indirect), at: 0)
        expect(
            .invalid(.indirectTablePlace(guest.indirectAddress)), from: guest, tellsStatus: false)
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
        try expectFault(header: D(good.address, 15, D.next, next: 1), .headerTooShort(15))
        try expectFault(header: D(good.address, 0, D.next, next: 1), .headerTooShort(0))
        let (start, end) = (guest.area.start.address, guest.area.upper * pageSize)
        for address in [0, start - 8, good.address + 4, end - 8, end, UInt64.max - 7] {
            try expectFault(header: D(address, 16, D.next, next: 1), .headerPlace(address))
        }
        try expectFault(
            header: D(good.address, 0xffff_ffff, D.next, next: 1), .headerPlace(good.address))
    }

    @Test(arguments: [UInt32(0), 2, 0xffff_ffff])
    func unknownType(type: UInt32) throws {
        let guest = try hostileGuest()
        guest.setChain(guest.validChain(pages: [40]))
        guest.setHeader(type: type)
        expect(.invalid(.unknownType(type)), from: guest, tellsStatus: true)
    }

    @Test func badStatus() throws {
        let guest = try hostileGuest()
        let good = guest.status
        try expectFault(status: D(good.address, 32, 0), .notWritable)
        try expectFault(status: D(good.address, 31, D.write), .statusTooShort(31))
        let (start, end) = (guest.area.start.address, guest.area.upper * pageSize)
        for address in [0, start - 8, good.address + 4, end - 24, end, UInt64.max - 7] {
            try expectFault(status: D(address, 32, D.write), .statusPlace(address))
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
