import GuestMemory
import Testing
import Virtqueue

/// Data that no device may write, each refused for the right reason.
@Suite struct HostileDataTests {
    private typealias D = RawDescriptor

    private func expectFault(
        data: [RawDescriptor], _ reason: BadRequest, in guest: HandBuiltQueue,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        var chain = [guest.header] + data + [guest.status]
        for index in 0..<data.count { chain[index + 1].next = UInt16(index + 2) }
        guest.setChain(chain)
        expect(.invalid(reason), from: guest, tellsStatus: true, sourceLocation: sourceLocation)
    }

    @Test func dataOutOfOrderOrShape() throws {
        let guest = try hostileGuest()
        let both = D.write | D.next
        let good = D(40 * pageSize, 4096, both)
        // Readable behind writable, and readable first: neither is data (2.7.4.2).
        expectFault(data: [good, D(50 * pageSize, 4096, D.next)], .notWritable, in: guest)
        expectFault(data: [D(50 * pageSize, 4096, D.next), good], .notWritable, in: guest)
        expectFault(data: [good, D(50 * pageSize, 0, both)], .emptyData(50 * pageSize), in: guest)
        for (address, length) in [
            (50 * pageSize + 1, 4096), (50 * pageSize, 4095), (50 * pageSize, 1),
            (50 * pageSize + 2048, 4096), (UInt64.max, 0xffff_ffff),
        ] as [(UInt64, UInt32)] {
            expectFault(
                data: [good, D(address, length, both)], .misalignedData(address, length), in: guest)
        }
    }

    @Test func dataOutsideGuestMemory() throws {
        let guest = try hostileGuest()
        for (address, length) in [
            (64 * pageSize, 4096), (63 * pageSize, 8192), (40 * pageSize, 0xffff_f000),
            // The sum overflows; the frame number is past the last of 2^32, or the range ends
            // there.
            (UInt64.max - 4095, 4096), (UInt64.max - 4095, 8192), (1 << 63, 4096),
            (PageRange.frameLimit * pageSize, 4096), ((PageRange.frameLimit - 1) * pageSize, 8192),
        ] as [(UInt64, UInt32)] {
            expectFault(
                data: [D(address, length, D.write | D.next)],
                .dataOutsideGuestMemory(address, length), in: guest)
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

    @Test func dataInTheQueueArea() throws {
        let guest = try hostileGuest()
        let (first, last) = (guest.area.lower, guest.area.upper - 1)
        for (page, pages) in [(first, 1), (last, 1), (first - 1, 2), (last, 2), (0, 60)]
            as [(UInt64, UInt32)]
        {
            let data = guest.data(page: page, pages: pages, next: 0)
            expectFault(data: [data], .dataInQueueArea(data.address, data.length), in: guest)
        }
        // The pages next to it are data like others.
        guest.setChain(guest.validChain(pages: [first - 1, last + 1]))
        expect(.valid, from: guest, tellsStatus: true)
    }

    /// Every three ranges in six pages, in every order: refused exactly where two share a page.
    @Test func overlapsAgainstNaiveModel() throws {
        let guest = try hostileGuest()
        var ranges: [PageRange] = []
        for start in 0..<UInt64(6) {
            for count in 1...(6 - start) {
                ranges.append(PageRange(start: 40 + start, count: count))
            }
        }
        var device = Device(guest)
        var index: UInt16 = 0
        for a in ranges {
            for b in ranges {
                for c in ranges {
                    let data = [a, b, c].enumerated().map { position, range in
                        guest.data(
                            page: range.lower, pages: UInt32(range.count.rawValue),
                            next: UInt16(position + 2))
                    }
                    guest.setChain([guest.header] + data + [guest.status])
                    guest.publish(head: 0, index: index)
                    index &+= 1
                    let answer = device.next()
                    let isValid = !a.overlaps(b) && !b.overlaps(c) && !a.overlaps(c)
                    var isOverlap = false
                    if case .invalid(.overlappingData) = answer { isOverlap = true }
                    if isValid ? answer != .valid : !isOverlap {
                        Issue.record("\([a, b, c]): \(answer)")
                    }
                    device.complete(.badRequest)
                }
            }
        }
    }
}
