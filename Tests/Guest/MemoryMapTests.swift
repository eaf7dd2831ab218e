import GuestMemory
import Settings
import Testing
import Virtqueue

@testable import Guest

@Suite struct MemoryMapTests {
    /// One layout to be made: everything a map is made from.
    private struct Wish: CustomStringConvertible {
        let devices: Int
        let pagesPerRange: UInt64
        let ranges: Int
        let misalignment: UInt64
        let spare: UInt64?

        var description: String {
            "\(devices) devices, \(ranges) x \(pagesPerRange) pages, off by \(misalignment), "
                + "spare \(spare.map(String.init) ?? "default")"
        }

        func map() throws(MemoryMapError) -> MemoryMap {
            func make(_ total: PageCount?) throws(MemoryMapError) -> MemoryMap {
                try MemoryMap(
                    devices: devices, pagesPerRange: PageCount(pagesPerRange), rangeCount: ranges,
                    misalignment: PageCount(misalignment), total: total)
            }
            let least = try make(nil)
            guard let spare else { return least }
            return try make(PageCount(least.pages.rawValue + spare))
        }

        static var grid: [Wish] {
            var wishes: [Wish] = []
            for devices in 1...3 {
                for pagesPerRange in [1, 2, 3, 4, 5, 8, 511, 512, 513] as [UInt64] {
                    for ranges in [1, 2, 3, 8, 300] {
                        for misalignment in [0, 1, 5, 512] as [UInt64] {
                            for spare in [nil, 0, 777] as [UInt64?] {
                                wishes.append(
                                    Wish(
                                        devices: devices, pagesPerRange: pagesPerRange,
                                        ranges: ranges, misalignment: misalignment, spare: spare))
                            }
                        }
                    }
                }
            }
            return wishes
        }
    }

    /// Why the ranges are not what they should be: one after the other, without overlap, up to `end` exactly.
    private func gap(in ranges: [PageRange], upTo end: UInt64) -> String? {
        var next: UInt64 = 0
        for range in ranges.sorted(by: { $0.lower < $1.lower }) {
            guard range.lower == next else { return "\(range) where page \(next) was due" }
            next = range.upper
        }
        return next == end ? nil : "ends at page \(next) of \(end)"
    }

    @Test func everyPageHasOneOwner() throws {
        for wish in Wish.grid {
            let map = try wish.map()
            let shared = map.buffers.flatMap(\.ranges) + map.queueAreas
            let pages = map.pages.rawValue
            let tiling = gap(in: shared + map.privateRanges, upTo: pages)
            #expect(tiling == nil, "\(wish): \(tiling ?? "")")
            // Free memory is private, and at the end.
            let last = try #require(map.privateRanges.last)
            #expect(last == map.free && map.free.upper == pages, "\(wish)")
            let spare = wish.spare ?? 0
            #expect(map.free.count.bytes.rawValue == (64 << 20) + spare * pageSize, "\(wish)")
        }
    }

    @Test func buffersAreAsAskedFor() throws {
        for wish in Wish.grid where wish.spare == nil {
            let map = try wish.map()
            #expect(map.buffers.count == wish.devices && map.queueStarts.count == wish.devices)
            for buffer in map.buffers {
                let ranges = buffer.ranges
                #expect(ranges.count == wish.ranges, "\(wish)")
                #expect(ranges.allSatisfy { $0.count.rawValue == wish.pagesPerRange }, "\(wish)")
                // A page of nobody's between two ranges: they never merge.
                for (range, next) in zip(ranges, ranges.dropFirst()) {
                    #expect(next.lower == range.upper + 1, "\(wish)")
                }
            }
        }
    }

    @Test func buffersAreAlignedButForTheMisalignment() throws {
        for wish in Wish.grid where wish.spare == nil {
            let map = try wish.map()
            let stride = wish.ranges == 1 ? wish.pagesPerRange : wish.pagesPerRange + 1
            var alignment: UInt64 = 1
            while alignment < stride * UInt64(wish.ranges) { alignment *= 2 }
            for buffer in map.buffers {
                #expect(buffer.span.lower % alignment == wish.misalignment % alignment, "\(wish)")
            }
        }
    }

    @Test(
        arguments: [
            (1, pagesPerGiB), (2, pagesPerGiB), (2, 3 * pagesPerGiB), (2, pagesPerGiB + 512),
            (63, pagesPerGiB),
        ] as [(Int, UInt64)])
    func buffersOfGiBsStartAtAGiB(devices: Int, pages: UInt64) throws {
        for misalignment in [0, 1] as [UInt64] {
            let map = try smallMap(
                devices: devices, pagesPerRange: pages, ranges: 1, misalignment: misalignment)
            for buffer in map.buffers { #expect(buffer.span.lower % pagesPerGiB == misalignment) }
        }
    }

    /// Each device draws from memory of its own, and nobody else's pages are among them.
    @Test(arguments: [1, 3]) func drawnRangesHaveAPlaceOfTheirOwn(devices: Int) throws {
        func map(_ spread: UInt64, _ placement: BufferPlacement = .disjoint) throws -> MemoryMap {
            try MemoryMap(
                devices: devices, pagesPerRange: PageCount(1), rangeCount: 126,
                misalignment: PageCount(0), spread: PageCount(spread), seed: 5,
                placement: placement, total: nil)
        }
        let drawn = try map(4096)
        let shared = drawn.buffers.flatMap(\.ranges) + drawn.queueAreas
        #expect(gap(in: shared + drawn.privateRanges, upTo: drawn.pages.rawValue) == nil)
        let offsets = drawn.buffers.map { buffer in
            buffer.ranges.map { $0.lower - buffer.span.lower }
        }
        #expect(Set(offsets).count == devices)
        #expect(offsets.allSatisfy { $0 != $0.sorted() })
        for (one, next) in zip(drawn.buffers, drawn.buffers.dropFirst()) {
            #expect(one.span.upper <= next.span.lower)
        }
        #expect(Set(try map(4096, .same).buffers.map(\.ranges)).count == 1)
        #expect(try map(252).buffers[0].span.count.rawValue == 252)
        #expect(throws: MemoryMapError.tooNarrow(needed: PageCount(252))) { try map(251) }
    }

    /// The queue takes the request it was laid out for: one descriptor a range, or pieces of 2 GiB.
    @Test(
        arguments: [
            (1, 1), (1, 300), (512, 8), (1 << 19, 1), ((1 << 20) - 1, 2), (1 << 20, 1),
            ((1 << 20) + 1, 2), (3 << 20, 1), (1, 32_766),
        ] as [(UInt64, Int)])
    func queueTakesTheRequest(pagesPerRange: UInt64, ranges: Int) throws {
        let map = try smallMap(devices: 1, pagesPerRange: pagesPerRange, ranges: ranges)
        var queue = DriverQueue(map.queueLayout, at: map.queueStarts[0], in: try memory(of: map))
        #expect(throws: Never.self) { try queue.prepare(data: map.buffers[0].ranges) }
    }
}

@Suite struct MemoryMapRefusalTests {
    private func refusal(
        devices: Int = 1, pagesPerRange: UInt64, ranges: Int = 1, misalignment: UInt64 = 0,
        total: UInt64? = nil
    ) -> MemoryMapError? {
        do throws(MemoryMapError) {
            _ = try MemoryMap(
                devices: devices, pagesPerRange: PageCount(pagesPerRange), rangeCount: ranges,
                misalignment: PageCount(misalignment), total: total.map { PageCount($0) })
            return nil
        } catch {
            return error
        }
    }

    @Test func ofTooLittleMemorySaysHowMuchIsNeeded() throws {
        let needed = try smallMap(devices: 1, pagesPerRange: 16, ranges: 1).pages
        #expect(refusal(pagesPerRange: 16, total: needed.rawValue) == nil)
        let short = refusal(pagesPerRange: 16, total: needed.rawValue - 1)
        #expect(short == .tooSmall(needed: needed))
        #expect(refusal(pagesPerRange: 16, total: 0) == short)
        #expect("\(try #require(short))".contains("need 65M"))
    }

    @Test func ofWhatReachesPastTheLargestGuest() {
        let limit = PageRange.frameLimit
        #expect(refusal(pagesPerRange: limit) == .tooLarge)
        #expect(refusal(pagesPerRange: limit + 1) == .tooLarge)
        #expect(refusal(pagesPerRange: UInt64.max) == .tooLarge)
        #expect(refusal(pagesPerRange: UInt64.max - 1, ranges: 2) == .tooLarge)
        #expect(refusal(pagesPerRange: UInt64.max / 2, ranges: 3) == .tooLarge)
        #expect(refusal(pagesPerRange: limit / 2, ranges: 2) == .tooLarge)
        #expect(refusal(devices: 63, pagesPerRange: limit / 32) == .tooLarge)
        #expect(refusal(pagesPerRange: 1, misalignment: limit) == .tooLarge)
        #expect(refusal(pagesPerRange: 1, misalignment: limit - 1) == .tooLarge)
        #expect(refusal(pagesPerRange: 1, misalignment: UInt64.max) == .tooLarge)
        #expect(refusal(pagesPerRange: 1, total: limit) == nil)
        #expect(refusal(pagesPerRange: 1, total: limit + 1) == .tooLarge)
        // The buffer fits, what comes behind it does not.
        #expect(refusal(pagesPerRange: limit - 100) == .tooLarge)
    }

    @Test func ofMoreRangesThanAVirtqueueHolds() {
        #expect(refusal(pagesPerRange: 1, ranges: 32_766) == nil)
        #expect(refusal(pagesPerRange: 1, ranges: 32_767) == .tooManyRanges(limit: 32_766))
        // Two descriptors a range.
        #expect(refusal(pagesPerRange: 1 << 20, ranges: 4000) == nil)
        #expect(refusal(pagesPerRange: (1 << 20) - 1, ranges: 4095) == nil)
    }
}
