import DmaLinux
import GuestMemory
import Synchronization
import Testing
import Virtqueue

/// A guest that changes its queue while the device reads it.
@Suite struct ChangingMemoryTests {
    /// One 64-bit word of the queue that alternates between its valid value and another.
    struct Flip: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// The descriptor, and whether its address or the rest of it changes.
        let descriptor: Int
        let word: Int
        let bad: RawDescriptor
    }

    private static let valid: [RawDescriptor] = {
        let flags = RawDescriptor.write | RawDescriptor.next
        return [
            RawDescriptor(header, 16, RawDescriptor.next, next: 1),
            RawDescriptor(40 * pageSize, 4096, flags, next: 2),
            RawDescriptor(header + 32, 1, RawDescriptor.write),
        ]
    }()
    // The area of this queue is page 20 with the rings and page 21 with the records.
    private static let header = 21 * pageSize

    static let flips = [
        flip("data beyond guest memory", 1, 0) { $0.address = 1 << 40 },
        flip("data longer than guest memory", 1, 1) { $0.length = 0xffff_f000 },
        flip("readable data", 1, 1) { $0.flags = RawDescriptor.next },
        flip("next outside the table", 1, 1) { $0.next = 0xffff },
        flip("a loop", 1, 1) { $0.next = 1 },
        flip("status outside guest memory", 2, 0) { $0.address = 1 << 40 },
        flip("header outside guest memory", 0, 0) { $0.address = 1 << 40 },
        flip("an indirect table anywhere", 0, 1) {
            $0 = RawDescriptor($0.address, 0xffff_fff0, RawDescriptor.indirect)
        },
    ]

    private static func flip(
        _ name: String, _ descriptor: Int, _ word: Int, _ change: (inout RawDescriptor) -> Void
    ) -> Flip {
        var bad = valid[descriptor]
        change(&bad)
        return Flip(testDescription: name, descriptor: descriptor, word: word, bad: bad)
    }

    /// The device sees the request as a whole valid or a typed refusal, never a mixture.
    @Test(arguments: flips)
    func validOrRefused(flip: Flip) throws {
        let guest = HandBuiltQueue(
            view: try guestMemory(pages: 64),
            layout: try VirtqueueLayout(queueSize: 8, dataDescriptors: 6), start: GFN(20))
        guest.setChain(Self.valid)
        let offset = 16 * flip.descriptor + 8 * flip.word
        let words = [Self.valid[flip.descriptor].words, flip.bad.words]
            .map { flip.word == 0 ? $0.0 : $0.1 }

        let stop = StopFlag()
        let flipper = try WorkerThread(name: "flipper") {
            while !stop.isSet {
                for word in words { guest.store(word, at: offset) }
            }
        }
        var device = Device(guest)
        var (accepted, refused) = (0, 0)
        // Until both have been seen often: threads that share one processor alternate slowly.
        for index in 0..<20_000_000 where accepted < 2000 || refused < 2000 {
            guest.publish(head: 0, index: UInt16(truncatingIfNeeded: index))
            switch device.next() {
            case .valid where device.request.ranges == [PageRange(start: 40, count: 1)]:
                accepted += 1
            case .invalid where device.request.segmentCount == 0:
                refused += 1
            case let answer:
                Issue.record("\(answer) with \(device.request.ranges)")
            }
            device.complete(.ioError)
        }
        stop.set()
        flipper.join()
        #expect(accepted >= 2000 && refused >= 2000)
        // Page 40 is where a status went astray would lie.
        let data = guest.view.pointer(to: PageRange(start: 40, count: 1))
        let isUntouched = (0..<512).allSatisfy {
            data.load(fromByteOffset: 8 * $0, as: UInt64.self) == 0
        }
        #expect(isUntouched)
    }
}

final class StopFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}
