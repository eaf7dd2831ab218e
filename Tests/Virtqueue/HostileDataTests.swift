import GuestMemory
import Testing
import Virtqueue

/// Data that no device may touch, each refused for the right reason.
@Suite struct HostileDataTests {
    private typealias D = RawDescriptor

    private func expectFault(
        type: UInt32 = 0, data: [RawDescriptor], _ reason: BadRequest, in guest: HandBuiltQueue,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        var chain = [guest.header] + data + [guest.status]
        for index in 0..<data.count { chain[index + 1].next = UInt16(index + 2) }
        guest.setChain(chain)
        guest.setHeader(type: type)
        expect(.invalid(reason), from: guest, tellsStatus: true, sourceLocation: sourceLocation)
    }

    @Test func dataOfTheWrongDirectionOrLength() throws {
        let guest = try hostileGuest()
        let (both, read) = (D.write | D.next, D.next)
        let writable = D(40 * pageSize, 4096, both)
        let readable = D(50 * pageSize, 4096, read)
        for type in [0, 8] as [UInt32] {
            expectFault(type: type, data: [writable, readable], .dataNotWritable, in: guest)
            expectFault(type: type, data: [readable, writable], .dataNotWritable, in: guest)
        }
        expectFault(type: 1, data: [readable, writable], .dataNotReadable, in: guest)
        expectFault(type: 1, data: [writable], .dataNotReadable, in: guest)
        expectFault(
            data: [writable, D(50 * pageSize + 3, 0, both)], .emptyData(50 * pageSize + 3),
            in: guest)
        for type in [0, 1, 8] as [UInt32] { expectFault(type: type, data: [], .noData, in: guest) }
    }

    @Test func dataOutsideGuestMemory() throws {
        let guest = try hostileGuest()
        for (address, length) in [
            (64 * pageSize, 4096), (63 * pageSize, 8192), (40 * pageSize, 0xffff_f000),
            (64 * pageSize - 1, 2), (64 * pageSize, 1), (0, 0xffff_ffff),
            // The sum overflows; the frame number is past the last of 2^32, or the range ends
            // there.
            (UInt64.max - 4095, 4096), (UInt64.max - 4095, 8192), (1 << 63, 4096),
            (UInt64.max, 1), (UInt64.max, 0xffff_ffff),
            (PageRange.frameLimit * pageSize, 4096), ((PageRange.frameLimit - 1) * pageSize, 8192),
        ] as [(UInt64, UInt32)] {
            for type in [0, 1] as [UInt32] {
                expectFault(
                    type: type, data: [D(address, length, (type == 0 ? D.write : 0) | D.next)],
                    .dataOutsideGuestMemory(address, length), in: guest)
            }
        }
    }

    /// Guest memory may be larger than frame numbers reach; nothing past them is data.
    @Test(
        .enabled(
            if: (try? guestMemory(pages: PageRange.frameLimit + 16)) != nil,
            "16 TiB of address space, which ThreadSanitizer and ulimit -v do not leave"))
    func dataPastTheLastFrame() throws {
        let limit = PageRange.frameLimit
        let guest = try hostileGuest(pages: limit + 16)
        guest.setChain(guest.validChain(pages: [limit - 1]))
        expect(.valid, from: guest, tellsStatus: true)
        for (page, pages) in [(limit, 1), (limit - 1, 2)] as [(UInt64, UInt32)] {
            let data = guest.data(page: page, pages: pages, next: 0)
            expectFault(data: [data], .dataOutsideGuestMemory(data.address, data.length), in: guest)
        }
    }

    /// A range over the border of two regions is refused, and neighbours on its two sides are not merged: here they need
    /// not follow one another.
    @Test func dataOverTheBorderOfTwoRegions() throws {
        let view = try GuestView(
            [(0, 32), (32, 32)].map { start, count in
                try GuestRegion(
                    PageRange(start: start, count: count), in: guestMemory(pages: 32).mapping)
            })
        let guest = HandBuiltQueue(
            view: view, layout: try VirtqueueLayout(queueSize: 8, dataDescriptors: 6),
            start: GFN(20))
        let (border, both) = (32 * pageSize, D.write | D.next)
        expectFault(
            data: [D(border - 1, 2, both)], .dataOutsideGuestMemory(border - 1, 2), in: guest)
        guest.setChain([
            guest.header, D(border - 512, 512, both, next: 2), D(border, 512, both, next: 3),
            guest.status,
        ])
        var device = Device(guest)
        guest.publish(head: 0, index: 0)
        #expect(device.next() == .valid)
        let (ranges, segments) = (device.request.ranges, device.request.segments)
        #expect(ranges == [PageRange(start: 31, count: 1), PageRange(start: 32, count: 1)])
        #expect(segments.map(\.address) == [border - 512, border])
        #expect(segments[0].pointer == view.pointer(to: border - 512, byteCount: 512))
        #expect(segments[1].pointer == view.pointer(to: border, byteCount: 512))
    }

    /// A guest may have the device write its own rings: it harms itself alone, and what the device believes of them it has
    /// read before.
    @Test func dataInTheQueueIsData() throws {
        let guest = try hostileGuest()
        let page = guest.area.lower
        guest.setChain(guest.validChain(pages: [page]))
        expect(.valid, from: guest, tellsStatus: true)
    }

    /// Every two segments of a few lengths at a few offsets in two pages, in each order: the bytes are those of the request
    /// in its order, and every one of them lies in the pages to pin.
    @Test func segmentsAgainstNaiveModel() throws {
        let guest = try hostileGuest()
        var segments: [(address: UInt64, length: UInt32)] = []
        for offset in [0, 1, 512, 4095, 4096, 5000] as [UInt64] {
            for length in [1, 511, 512, 4096, 4097] as [UInt32] {
                segments.append((40 * pageSize + offset, length))
            }
        }
        var device = Device(guest)
        var index: UInt16 = 0
        for a in segments {
            for b in segments {
                let data = [a, b].enumerated().map { position, segment in
                    D(
                        segment.address, segment.length, D.write | D.next,
                        next: UInt16(position + 2))
                }
                guest.setChain([guest.header] + data + [guest.status])
                guest.publish(head: 0, index: index)
                index &+= 1
                let answer = device.next()
                let found = device.request.segments.map { ($0.address, $0.byteCount) }
                let ranges = device.request.ranges
                let isMerged = a.address + UInt64(a.length) == b.address
                let expected =
                    isMerged
                    ? [(a.address, UInt64(a.length + b.length))]
                    : [a, b].map { ($0.address, UInt64($0.length)) }
                let pages = [a, b].flatMap {
                    $0.address / pageSize...($0.address + UInt64($0.length) - 1) / pageSize
                }
                let pinned = ranges.flatMap { $0.lower..<$0.upper }
                let isRight =
                    answer == .valid && found.elementsEqual(expected, by: ==)
                    && Set(pages) == Set(pinned)
                    && device.request.byteCount.rawValue == UInt64(a.length + b.length)
                    && Int(device.request.pageCount.rawValue) == pinned.count
                if !isRight { Issue.record("\([a, b]): \(answer), \(found), \(ranges)") }
                device.complete()
            }
        }
    }
}
