import DmaLinux
import Glibc
import Testing

@testable import VhostUser

@Suite struct MemoryTests {
    private static let guest = SharedGuest.guestStart
    private static let user = SharedGuest.userStart

    /// What is wrong with a region of a file of 16 pages; nil where nothing is.
    private func fault(_ region: RegionDescription) throws -> MemoryFault? {
        let file = try SharedGuest(pages: 16)
        for request in [Request.setMemoryTable([region]), .addMemoryRegion(region)] {
            let session = try Session()
            try session.acknowledgeEverything()
            let error = try session.refusal(of: request, [file.memory])
            guard let error else { continue }
            guard case .memory(let fault) = error else { throw error }
            return fault
        }
        return nil
    }

    @Test func regionsThatAreNone() throws {
        func region(
            _ guest: UInt64, _ count: UInt64, user: UInt64 = 0x1000, offset: UInt64 = 0
        ) -> RegionDescription {
            RegionDescription(
                guestAddress: guest, byteCount: count, userAddress: user, offset: offset)
        }
        let page: UInt64 = 4096
        for good in [
            region(0, page), region(0, 16 * page), region(1 << 44 - page, page),
            region(0, page, user: UInt64.max - 2 * page + 1), region(page, page, offset: 15 * page),
        ] { #expect(try fault(good) == nil, "\(good)") }
        let empty = region(page, 0)
        #expect(try fault(empty) == .empty(empty))
        for odd in [
            region(1, page), region(0, page + 8), region(0, page, user: 16),
            region(0, page, offset: 2048),
        ] { #expect(try fault(odd) == .misaligned(odd)) }
        for far in [
            region(1 << 44, page), region(1 << 44 - page, 2 * page),
            region(UInt64.max - page + 1, page), region(UInt64.max - page + 1, 2 * page),
        ] { #expect(try fault(far) == .beyondLimit(far)) }
        let wraps = region(0, 2 * page, user: UInt64.max - page + 1)
        #expect(try fault(wraps) == .wraps(wraps))
        for long in [
            region(0, 17 * page), region(0, 16 * page, offset: page),
            region(0, page, offset: UInt64.max - page + 1),
            region(0, 2 * page, offset: UInt64.max - page + 1), region(0, 1 << 44),
        ] { #expect(try fault(long) == .longerThanFile(long, 16 * 4096)) }
    }

    @Test func aDescriptorThatCannotBeMapped() throws {
        let session = try Session()
        let event = try OwnedDescriptor(.event())
        let region = RegionDescription(guestAddress: 0, byteCount: 4096, userAddress: 0)
        #expect(
            try session.refusal(of: .setMemoryTable([region]), [event])
                == .memory(.longerThanFile(region, 0)))
    }

    /// What the kernel says is passed on.
    @Test func aDescriptorThatCannotBeWritten() throws {
        let session = try Session()
        let file = try OwnedDescriptor(
            FileDescriptor(
                owning: checkErrno(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "open")))
        let region = RegionDescription(guestAddress: 0, byteCount: 4096, userAddress: 0)
        guard case .system(let error) = try session.refusal(of: .setMemoryTable([region]), [file])
        else {
            Issue.record("it was mapped")
            return
        }
        #expect(error.call == "mmap" && error.code == EACCES)
    }

    private static let hasHugePage =
        (readSmallFile("/proc/meminfo") ?? "").split(separator: "\n").contains {
            $0.hasPrefix("HugePages_Free:") && !$0.hasSuffix(" 0")
        }

    /// Below and above the hole at 640 KiB, as a PC's memory lies: neither begins and ends with a huge page.
    @Test(.enabled(if: hasHugePage, "no free huge page: sysctl vm.nr_hugepages"))
    func partsOfAHugePage() throws {
        let memory = try SharedMapping.create(
            name: uniqueName(), byteCount: 2 << 20, hugePageShift: 21)
        let parts: [(UInt64, UInt64)] = [(0, 0xA0000), (0xC0000, 2 << 20 - 0xC0000)]
        do {
            let session = try Session()
            try session.ask(
                .setMemoryTable(
                    parts.map {
                        RegionDescription(
                            guestAddress: $0.0, byteCount: $0.1, userAddress: 1 << 44 + $0.0,
                            offset: $0.0)
                    }), [memory, memory])
            session.memory.pointer(toGuest: 0xC0008, byteCount: 8)?.storeBytes(
                of: 7, as: UInt64.self)
            #expect(memory.base.load(fromByteOffset: 0xC0008, as: UInt64.self) == 7)
            #expect(session.memory.pointer(toGuest: 0xA0000, byteCount: 1) == nil)
            #expect(copies(of: memory) == 3)
        }
        #expect(copies(of: memory) == 1)
        let left = (readSmallFile("/proc/self/maps", limit: 16 << 20) ?? "").split(
            separator: "\n"
        ).count { $0.contains(memory.name) }
        #expect(left == 1)
    }

    @Test(arguments: [
        (Int64(0), Int64(0), true), (0, 4, true), (4, 0, true), (4, 4, false), (-4, 8, false),
        (1, 8, true), (8, 1, true), (-1, -1, true), (-4, -4, false), (-3, 4, true),
    ])
    func regionsThatOverlap(guestPages: Int64, userPages: Int64, overlaps: Bool) throws {
        let file = try SharedGuest()
        let number = file.memory
        func region(_ guest: Int64, _ user: Int64) -> RegionDescription {
            RegionDescription(
                guestAddress: UInt64((8 + guest) * 4096), byteCount: 4 * 4096,
                userAddress: UInt64((64 + user) * 4096))
        }
        let (first, second) = (region(0, 0), region(guestPages, userPages))
        let expected = ProtocolError.memory(
            .overlaps(second.guestAddress, first.guestAddress))
        var session = try Session()
        try session.acknowledgeEverything()
        #expect(
            try session.refusal(of: .setMemoryTable([first, second]), [number, number])
                == (overlaps ? expected : nil))
        session = try Session()
        try session.acknowledgeEverything()
        try session.ask(.addMemoryRegion(first), [number])
        #expect(
            try session.refusal(of: .addMemoryRegion(second), [number])
                == (overlaps ? expected : nil))
    }

    /// Every address and length around two regions that touch and one that does not, against looking at each byte.
    @Test func addressesAreFoundInOneRegionOrNot() throws {
        let page: UInt64 = 4096
        let files = try (0..<3).map { _ in try SharedGuest(pages: 4) }
        let starts: [(guest: UInt64, user: UInt64)] = [(2, 20), (6, 30), (12, 24)]
        let session = try Session()
        try session.ask(
            .setMemoryTable(
                starts.map {
                    RegionDescription(
                        guestAddress: $0.guest * page, byteCount: 4 * page,
                        userAddress: $0.user * page)
                }), files.map(\.memory))
        let table = session.memory
        #expect(table.regions.map(\.guestAddress) == [2, 6, 12].map { $0 * page })
        #expect(table.guestEnd == 16 * page)
        for (index, file) in files.enumerated() {
            (file.memory.base + 8).storeBytes(of: UInt64(100 + index), as: UInt64.self)
        }
        for (index, start) in starts.enumerated() {
            let pointer = table.pointer(toGuest: start.guest * page + 8, byteCount: 8)
            #expect(pointer?.load(as: UInt64.self) == UInt64(100 + index))
        }
        let lengths = [0, 1, page, 4 * page, 4 * page + 1, UInt64.max]
        for address in stride(from: 0, through: 40 * page, by: 2048) {
            for count in lengths {
                func isInside(_ start: UInt64) -> Bool {
                    address >= start && address <= start + 4 * page
                        && count <= start + 4 * page - address
                }
                let inGuest = starts.contains { isInside($0.guest * page) }
                // The border of two regions belongs to the second.
                let isEnd =
                    count == 0 && [6, 10, 16].contains(address / page) && address % page == 0
                if !isEnd {
                    #expect(
                        (table.pointer(toGuest: address, byteCount: count) != nil) == inGuest,
                        "\(address), \(count)")
                }
                let inUser = starts.first { isInside($0.user * page) }
                #expect(
                    table.guestAddress(ofUser: address, byteCount: count)
                        == inUser.map { address - $0.user * page + $0.guest * page })
            }
        }
    }

    @Test func thereAreSoManySlots() throws {
        let file = try SharedGuest(pages: 1)
        let session = try Session()
        try session.acknowledgeEverything()
        func region(_ index: Int) -> RegionDescription {
            let address = UInt64(index) * 4096
            return RegionDescription(
                guestAddress: address, byteCount: 4096, userAddress: 1 << 40 + address)
        }
        for index in 0..<MemoryTable.slotLimit {
            try session.ask(.addMemoryRegion(region(index)), [file.memory])
        }
        #expect(mappings(of: file.memory.name) == 1 + MemoryTable.slotLimit)
        // One goes, one comes.
        try session.ask(.removeMemoryRegion(region(7)))
        try session.ask(.addMemoryRegion(region(1000)), [file.memory])
        #expect(
            try session.refusal(
                of: .addMemoryRegion(region(2000)), [file.memory])
                == .memory(.tooMany(limit: MemoryTable.slotLimit)))
    }

    // MARK: While queues run

    @Test func memoryComesAndGoesWhileAQueueRuns() throws {
        let session = try Session()
        try session.acknowledgeEverything()
        let (guest, more) = (try SharedGuest(), try SharedGuest(pages: 4))
        try session.startQueue(guest)
        let added = RegionDescription(
            guestAddress: 1 << 30, byteCount: more.byteCount, userAddress: 1 << 45)
        #expect(
            try session.ask(.addMemoryRegion(added), [more.memory])
                == [.memoryChanged])
        let table = session.memory
        let place = try #require(table.pointer(toGuest: 1 << 30, byteCount: 4096))
        place.storeBytes(of: 17, as: UInt64.self)
        // Whatever else its offset says, and with a descriptor that means nothing.
        #expect(
            try session.ask(.removeMemoryRegion(added), [more.memory])
                == [.memoryChanged])
        #expect(copies(of: more.memory) == 2)
        #expect(session.memory.pointer(toGuest: 1 << 30, byteCount: 4096) == nil)
        // Whoever still has the table still has the memory.
        #expect(more.memory.base.load(as: UInt64.self) == 17)
        #expect(place.load(as: UInt64.self) == 17)
        #expect(mappings(of: more.memory.name) == 2)
        withExtendedLifetime(table) {}
        #expect(
            try session.refusal(of: .removeMemoryRegion(added)) == .memory(.unknown(added)))
    }

    @Test func memoryUnderAQueueStays() throws {
        var session = try Session()
        try session.acknowledgeEverything()
        let guest = try SharedGuest()
        try session.startQueue(guest)
        #expect(
            try session.refusal(of: .removeMemoryRegion(guest.region)) == .memory(.underQueue(0)))
        session = try Session()
        try session.startQueue(guest)
        #expect(try session.refusal(of: .setMemoryTable([])) == .memory(.underQueue(0)))
        // A queue that is stopped is nobody's.
        session = try Session()
        try session.startQueue(guest)
        try session.ask(.getQueueBase(queue: 0))
        #expect(try session.ask(.setMemoryTable([])) == [.memoryChanged])
    }

    /// The front-end's addresses stay; what they mean for the guest may move.
    @Test func aTableThatMovesARunningQueue() throws {
        let session = try Session()
        let guest = try SharedGuest()
        try session.startQueue(guest)
        let before = try #require(session.queues[0].rings)
        let moved = RegionDescription(
            guestAddress: SharedGuest.guestStart + (1 << 32), byteCount: guest.byteCount,
            userAddress: SharedGuest.userStart)
        #expect(
            try session.ask(.setMemoryTable([moved]), [guest.memory])
                == [.memoryChanged])
        let after = try #require(session.queues[0].rings)
        #expect(after.usedRing == before.usedRing + (1 << 32) && after.size == before.size)
    }
}
