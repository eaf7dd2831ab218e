import DmaLinux
import Glibc
import GuestMemory
import Testing

@testable import PinLock

@Suite struct ArenaTests {
    /// A mapping of the first `byteCount` bytes of the arena's file.
    private func part(of arena: Arena, byteCount: Int) throws -> SharedMapping {
        let copy = FileDescriptor(
            owning: try checkErrno(dup(arena.mapping.fileDescriptor), "dup"))
        return try SharedMapping(mapping: copy, byteCount: byteCount, name: "part")
    }

    @Test func viewsLieAtDifferentAddressesAndAgree() throws {
        let here = try make(RangeTree.self, pages: 8, sharing: range(0..<8))
        let there = RangeTree(arena: try here.arena.viewedAgain())
        #expect(here.arena.mapping.base != there.arena.mapping.base)
        let pin = try there.pinner(for: DeviceID(0)).pin(page(3))
        #expect(here.refusalOfConversion(range(0..<8), to: .private) == .pinned(GFN(3)))
        #expect(try here.recover(pin.device, until: .now) == 1)
        try there.convert(range(0..<8), to: .private)
        #expect(here.arena.table.state(of: GFN(7)) == .private)
    }

    @Test(arguments: [1, 4096, 80 << 20])
    func whatIsNoArenaIsRefused(byteCount: Int) throws {
        let mapping = try SharedMapping.create(name: "guest", byteCount: byteCount)
        #expect(throws: SystemError.self) { try Arena(attaching: mapping) }
    }

    /// A file cut short anywhere, as far as the last strategy's last word.
    @Test func aPartOfAnArenaIsRefused() throws {
        let arena = try Arena.create(pages: PageCount(1000), entrySize: .small)
        let whole = arena.mapping.byteCount
        for byteCount in [4096, 8192, whole / 2, whole - 4096] {
            let mapping = try part(of: arena, byteCount: byteCount)
            #expect(throws: SystemError.self, "\(byteCount) of \(whole) bytes") {
                try Arena(attaching: mapping)
            }
        }
        _ = try Arena(attaching: try part(of: arena, byteCount: whole))
    }

    /// Words of the header, one at a time: magic, pages, bytes of an entry.
    @Test(
        arguments: [
            (0, 0x646d_6170_696e_0001), (8, 0), (8, 5000), (8, 1 << 32), (8, (1 << 32) + 1),
            (8, .max), (16, 0), (16, 1), (16, 4097), (16, .max),
        ] as [(Int, UInt64)])
    func aWrongHeaderIsRefused(offset: Int, word: UInt64) throws {
        let arena = try Arena.create(pages: PageCount(1000), entrySize: .large)
        let view = try arena.viewedAgain()
        #expect(view.pages == PageCount(1000) && view.entrySize == .large)
        arena.mapping.base.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
        #expect(throws: SystemError.self) { try Arena(attaching: arena.mapping) }
    }

    @Test func aResetForgetsEverything() throws {
        let strategy = try make(
            RangeTree.self, pages: 3000, entrySize: .large, sharing: range(0..<3000))
        _ = try strategy.pinner(for: DeviceID(0)).pin(range(5..<600))
        let arena = try strategy.arena.reset(pages: PageCount(2000), entrySize: .small)
        #expect(arena.pages == PageCount(2000) && arena.entrySize == .small)
        #expect(arena.livePins == 0)
        let again = RangeTree(arena: arena)
        #expect(try again.audit() == nil)
        let device = again.pinner(for: DeviceID(0))
        #expect(refusalOfPin(range(0..<2000), by: device) == .privatePage(GFN(0)))
        #expect(refusalOfPin(page(2000), by: device) == .outOfRange(GFN(2000)))
        try again.convert(range(0..<2000), to: .shared)
        #expect(refusalOfPin(range(0..<2000), by: device) == nil)
    }

    /// The table may fit where the trees no longer do.
    @Test(arguments: [3 * pagesPerGiB, 2 * pagesPerGiB + 1])
    func aResetToALargerGuestIsRefused(pages: UInt64) throws {
        let arena = try Arena.create(pages: PageCount(2 * pagesPerGiB), entrySize: .small)
        #expect(throws: SystemError.self) {
            try arena.reset(pages: PageCount(pages), entrySize: .small)
        }
    }
}
