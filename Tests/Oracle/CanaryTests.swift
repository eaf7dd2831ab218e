import DmaWriter
import Glibc
import GuardedMemory
import GuestMemory
import Testing

@testable import Oracle

@Suite struct CanaryTests {
    typealias Check = (UnsafeRawPointer, GFN) -> Canary.Damage?

    static let gfns: [GFN] = [0, 1, 0xFFFF_FFFF, 0x1234_5678, UInt64.max].map { GFN($0) }

    /// The bytes of a page whose change the check does not see, or lays to another line.
    private static func unseenBytes(_ check: Check) throws -> [Int] {
        let memory = try GuardedPages(pages: 1)
        let page = memory.bytes.baseAddress!
        let gfn = GFN(0x4_2042)
        Canary.stamp(page, gfn: gfn)
        return memory.bytes.indices.filter { index in
            memory.bytes[index] ^= 0x80
            defer { memory.bytes[index] ^= 0x80 }
            let expected = Canary.Damage(gfn: gfn, lines: 1, firstLine: index / 64, stamp: nil)
            return check(page, gfn) != expected
        }
    }

    @Test func seesEveryByte() throws {
        #expect(try Self.unseenBytes { Canary.damage($0, gfn: $1) } == [])
    }

    /// Checks that look at less, or for less, fail the same test.
    @Test func lazyChecksAreCaught() throws {
        let firstWordOfLines: Check = { page, gfn in
            let damaged = (0..<64).filter {
                page.load(fromByteOffset: $0 * 64, as: UInt64.self) != Canary.word(gfn, line: $0)
            }
            return damaged.first.map {
                Canary.Damage(gfn: gfn, lines: damaged.count, firstLine: $0, stamp: nil)
            }
        }
        let stampsOnly: Check = { page, gfn in
            Canary.damage(page, gfn: gfn).flatMap { $0.stamp == nil ? nil : $0 }
        }
        #expect(try Self.unseenBytes(firstWordOfLines).count == 64 * 56)
        #expect(try Self.unseenBytes(stampsOnly).count == 4096)
        #expect(try Self.unseenBytes { _, _ in nil }.count == 4096)
    }

    @Test(arguments: gfns)
    func untouchedPageIsWhole(gfn: GFN) throws {
        let memory = try GuardedPages(pages: 3)
        let page = memory.bytes.baseAddress! + 4096
        Canary.stamp(page, gfn: gfn)
        #expect(Canary.damage(page, gfn: gfn) == nil)
        #expect(memory.firstStrayByte(outside: 64..<128) == nil)
    }

    @Test func anotherPagesCanaryIsDamage() throws {
        let memory = try GuardedPages(pages: 1)
        let page = memory.bytes.baseAddress!
        for gfn in Self.gfns {
            Canary.stamp(page, gfn: gfn)
            for other in Self.gfns where other != gfn {
                #expect(Canary.damage(page, gfn: other)?.lines == 64, "\(gfn) as \(other)")
            }
        }
    }

    /// Data that only moved inside its page has been written all the same.
    @Test func linesOutOfPlaceAreDamage() throws {
        let memory = try GuardedPages(pages: 1)
        let page = memory.bytes.baseAddress!
        for line in 1..<64 {
            Canary.stamp(page, gfn: GFN(4))
            memcpy(page, page + line * 64, 64)
            let expected = Canary.Damage(gfn: GFN(4), lines: 1, firstLine: 0, stamp: nil)
            #expect(Canary.damage(page, gfn: GFN(4)) == expected, "line \(line)")
        }
    }

    /// Whatever a device writes, the canary is gone, and most engines sign.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func namesTheDeviceThatWrote(engine: FillEngine) throws {
        let memory = try GuardedPages(pages: 1)
        let page = memory.bytes.baseAddress!
        let writer = try DmaWriter(engine: engine, lanes: 1, device: 5)
        let signature = engine == .memset ? nil : writer.stamp(generation: 77)
        for lines in [0..<64, 0..<1, 63..<64, 20..<23] {
            Canary.stamp(page, gfn: GFN(3))
            writer.prepare(writer.stamp(generation: 77))
            writer.write(memory.lines(lines), stamp: writer.stamp(generation: 77))
            let expected = Canary.Damage(
                gfn: GFN(3), lines: lines.count, firstLine: lines.lowerBound, stamp: signature)
            #expect(Canary.damage(page, gfn: GFN(3)) == expected)
        }
    }

    /// The stamp is found behind other damage too, in any word of a line.
    @Test func findsTheStampAmongOtherDamage() throws {
        let memory = try GuardedPages(pages: 1)
        let page = memory.bytes.baseAddress!
        let stamp = Stamp(device: 6, generation: 1)
        for word in 0..<512 {
            Canary.stamp(page, gfn: GFN(9))
            memset(page, 0, 8)
            page.storeBytes(of: stamp.rawValue, toByteOffset: word * 8, as: UInt64.self)
            let damage = Canary.damage(page, gfn: GFN(9))
            #expect(damage?.stamp == stamp && damage?.firstLine == 0, "word \(word)")
        }
    }

    /// Or a write would leave the page as it was.
    @Test func noDeviceLeavesACanarysWord() {
        for gfn in Self.gfns {
            for line in 0..<64 {
                let word = Canary.word(gfn, line: line)
                #expect(Stamp(decoding: word) == nil)
                // Not one byte repeated, whatever the GFN.
                #expect(word >> 56 != word >> 48 & 0xFF)
            }
        }
    }

    @Test func damageInWords() {
        let by = Stamp(device: 1, generation: 42)
        let signed = Canary.Damage(gfn: GFN(18), lines: 3, firstLine: 5, stamp: by)
        #expect(
            "\(signed)"
                == "GFN 0x12: written while private by device 1, request 42, 3 of 64 lines from 5")
        let unsigned = Canary.Damage(gfn: GFN(18), lines: 1, firstLine: 0, stamp: nil)
        #expect("\(unsigned)" == "GFN 0x12: written while private, 1 of 64 lines from 0")
    }
}
