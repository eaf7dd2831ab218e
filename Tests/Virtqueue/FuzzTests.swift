import DmaStatistics
import GuestMemory
import Testing
import Virtqueue

@Suite struct FuzzTests {
    private static let pages: UInt64 = 64

    /// Values on which checks turn, most of them near something in this guest's memory.
    private static func value(_ generator: inout SplitMix64) -> UInt64 {
        let random = generator.next()
        switch random % 10 {
        case 0: return random >> 32
        case 1: return random
        case 2: return UInt64.max - (random >> 8) % 32
        case 3: return (random >> 8) % 8
        case 4: return (random >> 8) % (pages + 2) * pageSize + (random >> 24) % 2 * 8
        case 5: return 20 * pageSize + (random >> 8) % 8192 / 8 * 8
        default: return (random >> 8) % (pages + 2) * pageSize
        }
    }

    /// A chain much like a driver's, direct or indirect, with data in random places.
    private static func build(_ guest: HandBuiltQueue, _ generator: inout SplitMix64) {
        let count = Int.random(in: 1...5, using: &generator)
        let pages = (0..<count).map { _ in UInt64.random(in: 0..<Self.pages, using: &generator) }
        if Bool.random(using: &generator) {
            guest.setChain(guest.validChain(pages: pages))
        } else {
            guest.setChain(
                guest.validChain(pages: pages), tableAt: guest.layout.indirectTablesOffset)
            guest.set(
                RawDescriptor(
                    guest.indirectAddress, UInt32(16 * (count + 2)), RawDescriptor.indirect), at: 0)
        }
        guest.store(UInt16.random(in: 1...3, using: &generator), at: availableIndex(guest))
    }

    private static func availableIndex(_ guest: HandBuiltQueue) -> Int {
        guest.layout.availableRingOffset + 2
    }

    /// Changes a few words anywhere in the queue area, of any width.
    private static func mutate(_ guest: HandBuiltQueue, _ generator: inout SplitMix64) {
        let used = [
            0..<guest.layout.usedRingOffset,
            guest.layout.indirectTablesOffset..<guest.layout.indirectTablesOffset + 128,
            guest.layout.recordsOffset..<guest.layout.recordsOffset + 64,
            0..<Int(guest.area.count.bytes.rawValue),
        ]
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            let part = used[Int(truncatingIfNeeded: generator.next() % 4)]
            let offset = Int.random(in: part, using: &generator) & ~7
            let word = value(&generator)
            let random = generator.next()
            switch random % 4 {
            case 0: guest.store(word, at: offset)
            case 1:
                guest.store(UInt32(truncatingIfNeeded: word), at: offset + 4 * Int(random >> 63))
            case 2:
                guest.store(UInt16(truncatingIfNeeded: word), at: offset + 2 * Int(random >> 62))
            default: guest.store(word ^ 1 << (random >> 58), at: offset)
            }
        }
    }

    /// What is wrong with an accepted request; nil where nothing is.
    private static func violation(_ request: borrowing DeviceRequest) -> String? {
        let (segments, ranges) = (request.segments, request.ranges)
        guard let type = request.type else { return "no type" }
        if segments.isEmpty != (type == .flush) { return "\(segments.count) segments of \(type)" }
        for range in ranges where range.upper > pages { return "\(range) is outside guest memory" }
        for segment in segments {
            let end = segment.address + segment.byteCount
            let isPinned = ranges.contains {
                $0.lower * pageSize <= segment.address && end <= $0.upper * pageSize
            }
            if segment.byteCount == 0 || !isPinned {
                return "\(segment.byteCount) bytes at \(segment.address) in \(ranges)"
            }
        }
        return nil
    }

    /// 100,000 queue areas full of malice. A trap in the device ends the test run; its seed is the
    /// argument.
    @Test(arguments: [1, UInt64.random(in: .min ... .max)])
    func noQueueAreaIsTooHostile(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let guest = HandBuiltQueue(
            view: try guestMemory(pages: Self.pages),
            layout: try VirtqueueLayout(queueSize: 8, dataDescriptors: 6), start: GFN(20))
        let byteCount = Int(guest.area.count.bytes.rawValue)
        var request = DeviceRequest(queueSize: guest.layout.queueSize)
        var reader = TestReader()
        var (accepted, refused, broken) = (0, 0, 0)
        for iteration in 0..<100_000 {
            if iteration % 16 == 0 {
                for offset in stride(from: 0, to: byteCount, by: 8) {
                    guest.store(Self.value(&generator), at: offset)
                }
            }
            // Half of the time on top of what is there.
            if iteration % 2 == 1 { Self.build(guest, &generator) }
            Self.mutate(guest, &generator)

            var queue = try DeviceQueue(
                guest.layout.rings(at: guest.start), registered: [guest.area], in: guest.view)
            serving: for _ in 0..<9 {
                switch queue.next(into: &request, from: guest.view, reading: &reader) {
                case .empty: break serving
                case .broken:
                    broken += 1
                    break serving
                case .invalid, .unsupported:
                    refused += 1
                case .valid:
                    accepted += 1
                    if let violation = Self.violation(request) {
                        Issue.record("seed \(seed), iteration \(iteration): \(violation)")
                        return
                    }
                }
                queue.complete(&request, with: .ioError)
            }
        }
        #expect(accepted > 1000 && refused > 1000 && broken > 1000, "seed \(seed)")

        // The device wrote nowhere but into its queue area.
        let rest = Self.pages - guest.area.upper
        for range in [
            PageRange(start: 0, count: guest.area.lower),
            PageRange(start: guest.area.upper, count: rest),
        ] {
            let isZero = withExtendedLifetime(guest) {
                guest.view.bytes(of: range).allSatisfy { $0 == 0 }
            }
            #expect(isZero, "seed \(seed)")
        }
    }
}
