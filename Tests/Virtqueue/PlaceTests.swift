import DmaLinux
import GuestMemory
import Testing
import Virtqueue

/// Headers, indirect tables and status bytes anywhere in guest memory: read where the device has a pin for it, which is
/// the reader's part, or in pages that are registered.
@Suite struct PlaceTests {
    private typealias D = RawDescriptor

    private let guest: HandBuiltQueue
    private let dataPage: UInt64 = 40

    init() throws { guest = try hostileGuest() }

    /// Puts a request's parts where the test wants them, and has the device take it.
    private func take(
        header: UInt64, table: UInt64?, status: UInt64, refusing refused: UInt64? = nil,
        _ body: (inout Device, NextRequest) throws -> Void
    ) rethrows {
        var device = Device(guest)
        device.reader.refuses = { range in refused.map { range.contains(GFN($0)) } ?? false }
        store([0, 9], at: header)
        let chain = [
            D(header, 16, D.next, next: 1),
            D(dataPage * pageSize, 4096, D.write | D.next, next: 2), D(status, 1, D.write),
        ]
        if let table {
            for (index, descriptor) in chain.enumerated() {
                store([descriptor.words.0, descriptor.words.1], at: table + 16 * UInt64(index))
            }
            guest.set(D(table, 48, D.indirect), at: 0)
        } else {
            for (index, descriptor) in chain.enumerated() { guest.set(descriptor, at: index) }
        }
        guest.publish(head: 0, index: 0)
        try body(&device, device.next())
    }

    private func store(_ words: [UInt64], at address: UInt64) {
        for (index, word) in words.enumerated() {
            guest.view.pointer(to: address + 8 * UInt64(index), byteCount: 8)!
                .storeBytes(of: word, as: UInt64.self)
        }
    }

    private func byte(at address: UInt64) -> UInt8 {
        guest.view.pointer(to: address, byteCount: 1)!.load(as: UInt8.self)
    }

    /// At any alignment, over the border of two pages, at the very end of guest memory, beside one another or in the data's
    /// own page; read as they are, whether registered or not.
    @Test func partsAnywhere() throws {
        let page = { (number: UInt64) in number * pageSize }
        let registered = guest.indirectAddress
        let headers = [
            page(10), page(10) + 1, page(11) - 7, page(64) - 16, registered + 1001,
            page(guest.area.upper) - 8,
        ]
        let tables = [nil, page(12), page(12) + 5, page(13) - 20, registered, registered + 504]
        let statuses = [page(14) + 4095, page(64) - 17, page(40) + 5, registered + 2001]
        for header in headers {
            for table in tables {
                for status in statuses {
                    guest.view.pointer(to: status, byteCount: 1)!.storeBytes(
                        of: 0xee, as: UInt8.self)
                    let name = "header \(header), table \(table, default: "none"), status \(status)"
                    take(header: header, table: table, status: status) { device, answer in
                        #expect(answer == .valid, "\(name)")
                        let (sector, ranges) = (device.request.sector, device.request.ranges)
                        let statusPage = device.request.statusPage
                        #expect(sector == 9, "\(name)")
                        let isRegistered = guest.area.contains(GFN(status / pageSize))
                        #expect((statusPage == nil) == isRegistered, "\(name)")
                        let pages = [dataPage] + (isRegistered ? [] : [status / pageSize])
                        #expect(
                            Set(ranges.flatMap { $0.lower..<$0.upper }) == Set(pages), "\(name)")
                        let copied = [(header, UInt64(16)), (table ?? registered, 48)].filter {
                            // In part is not enough.
                            !guest.area.contains(GFN(($0.0 + $0.1 - 1) / pageSize))
                        }
                        let asked = device.reader.asked
                        #expect(asked.count == copied.count, "\(name)")
                        for (address, length) in copied {
                            #expect(
                                asked.contains {
                                    $0.lower == address / pageSize
                                        && $0.upper == (address + length - 1) / pageSize + 1
                                }, "\(name)")
                        }
                        // Nobody writes an unregistered status but who has pinned its page.
                        device.request.write(.ok)
                        device.complete()
                        #expect(byte(at: status) == 0, "\(name)")
                        #expect(guest.usedElement(0) == (0, 4097))
                    }
                }
            }
        }
    }

    @Test func aStatusWithoutAPinIsNotWritten() throws {
        let status = 14 * pageSize
        store([0xeeee], at: status)
        take(header: guest.headerAddress, table: nil, status: status) { device, answer in
            #expect(answer == .valid)
            device.complete(.ioError)
            #expect(byte(at: status) == 0xee)
            #expect(guest.usedElement(0) == (0, 0))
        }
    }

    /// What the reader does not get makes the request invalid; where its status is, is known all the same.
    @Test func whatCannotBeReadIsRefused() throws {
        let (header, table) = (10 * pageSize - 8, 12 * pageSize)
        for refused in [9, 10] as [UInt64] {
            take(header: header, table: nil, status: guest.statusAddress, refusing: refused) {
                device, answer in
                #expect(answer == .invalid(.headerUnread(header)))
                device.complete(.ioError)
                #expect(byte(at: guest.statusAddress) == 1)
            }
        }
        take(header: header, table: table, status: guest.statusAddress, refusing: 12) { _, answer in
            #expect(answer == .invalid(.indirectTableUnread(table)))
        }
    }

    /// A region that is there for one request and not for the next: the queue goes on, and each request is judged by the
    /// memory of its time.
    @Test func memoryGrowsAndShrinksBetweenRequests() throws {
        let added = try GuestRegion(
            PageRange(start: 1000, count: 4), in: guestMemory(pages: 4).mapping)
        var grown = guest.view
        try grown.add(added)
        var shrunk = grown
        let isRemoved = shrunk.remove(added.range)
        #expect(isRemoved)
        guest.setChain(guest.validChain(pages: [1002]))
        var device = Device(guest)
        for (index, memory) in [guest.view, grown, shrunk, grown].enumerated() {
            guest.publish(head: 0, index: UInt16(index))
            let answer = device.queue.next(
                into: &device.request, from: memory, reading: &device.reader)
            if memory.regions.count == 1 {
                #expect(answer == .invalid(.dataOutsideGuestMemory(1002 * pageSize, 4096)))
                device.complete(.ioError)
            } else {
                let pointer = device.request.segments.first?.pointer
                #expect(answer == .valid && pointer == added.mapping.base + 2 * 4096)
                device.complete()
            }
        }
    }

    /// Rings of a guest's own choice, each in a region of its own, none of them near the other.
    @Test func ringsAndRequestsInSeveralRegions() throws {
        let view = try GuestView(
            [(0, 16), (100, 16), (1 << 20, 16)].map { start, count in
                try GuestRegion(
                    PageRange(start: start, count: count), in: guestMemory(pages: 16).mapping)
            })
        let (low, middle, high) = (UInt64(0), 100 * pageSize, pageSize << 20)
        let rings = try VirtqueueRings(
            queueSize: 4, descriptorTable: high + 3 * 4096 + 48, availableRing: middle + 4096 - 6,
            usedRing: low + 2 * 4096 - 8)
        var device = try Device(rings, registered: try rings.pages(in: view), in: view)
        func store<Value: BitwiseCopyable>(_ value: Value, at address: UInt64) {
            view.pointer(to: address, byteCount: 8)!.storeBytes(of: value, as: Value.self)
        }
        let chain = [
            D(low + 9 * 4096, 16, D.next, next: 3), D(0, 0, 0), D(middle + 77, 1, D.write),
            D(high + 4096 + 1, 5000, D.write | D.next, next: 2),
        ]
        for (index, descriptor) in chain.enumerated() {
            let address = rings.descriptorTable + 16 * UInt64(index)
            store(descriptor.words.0, at: address)
            store(descriptor.words.1, at: address + 8)
        }
        store(UInt64(77), at: low + 9 * 4096 + 8)
        store(UInt16(0), at: rings.availableRing + 4)
        store(UInt16(1), at: rings.availableRing + 2)
        #expect(device.next() == .valid)
        let (sector, ranges) = (device.request.sector, device.request.ranges)
        #expect(sector == 77)
        #expect(ranges == [PageRange(start: (1 << 20) + 1, count: 2)])
        let pointer = device.request.segments[0].pointer
        #expect(pointer == view.pointer(to: high + 4096 + 1, byteCount: 5000))
        // The status lies beside the available ring, whose pages are registered.
        let statusPage = device.request.statusPage
        #expect(statusPage == nil)
        device.complete()
        let used = view.pointer(to: rings.usedRing, byteCount: 16)!
        #expect(used.load(fromByteOffset: 2, as: UInt16.self) == 1)
        #expect(used.load(fromByteOffset: 8, as: UInt32.self) == 5001)
        #expect(view.pointer(to: middle + 77, byteCount: 1)!.load(as: UInt8.self) == 0)
    }
}
