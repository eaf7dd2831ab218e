import DmaLinux
import GuestMemory
import Testing

@testable import Trace

@Suite struct TraceRingTests {
    private struct Record: Equatable {
        let ticks: UInt64
        let queue: UInt16
        let direction: TraceDirection
        let segments: [TraceSegment]

        init(_ ticks: UInt64, segments: Int) {
            self.ticks = ticks
            queue = UInt16(ticks % 5)
            direction = ticks % 2 == 0 ? .write : .read
            self.segments = (0..<segments).map {
                TraceSegment(address: 4096 * ticks + UInt64($0), byteCount: UInt64($0) + 1)
            }
        }

        init(_ ticks: UInt64, _ queue: UInt16, _ direction: TraceDirection, _ list: [TraceSegment])
        {
            (self.ticks, self.queue, self.direction, segments) = (ticks, queue, direction, list)
        }

        func put(into producer: inout TraceRing.Producer) -> Bool {
            guard
                producer.begin(at: ticks, queue: queue, direction, segments: segments.count)
            else { return false }
            for segment in segments {
                producer.add(address: segment.address, byteCount: segment.byteCount)
            }
            producer.end()
            return true
        }
    }

    private func mapping(_ capacity: Int) throws -> SharedMapping {
        try SharedMapping.create(
            name: "test", byteCount: TraceRing.byteCount(capacity: capacity))
    }

    /// Records of every length around the ring's end many times over.
    @Test func whatIsPutInComesOut() throws {
        let memory = try mapping(64)
        withExtendedLifetime(memory) {
            let ring = TraceRing(memory, capacity: 64)
            var producer = ring.producer()
            var consumer = ring.consumer()
            var (sent, got): ([Record], [Record]) = ([], [])
            for number in 0..<500 as Range<UInt64> {
                let record = Record(number, segments: 1 + Int(number % 14))
                let isTaken = record.put(into: &producer)
                #expect(isTaken)
                sent.append(record)
                if number % 2 == 1 {
                    consumer.drain { got.append(Record($0, $1, $2, $3)) }
                }
            }
            #expect(got == sent && ring.lost == 0)
        }
    }

    /// Lost is what has no room, and counted; what is there stays whole.
    @Test func whatHasNoRoomIsCounted() throws {
        let memory = try mapping(32)
        withExtendedLifetime(memory) {
            let ring = TraceRing(memory, capacity: 32)
            var producer = ring.producer()
            var consumer = ring.consumer()
            var fates: [Bool] = []
            for number in 0..<4 as Range<UInt64> {
                fates.append(Record(number, segments: 6).put(into: &producer))
            }
            #expect(fates == [true, true, false, false])
            // Longer than the whole ring.
            let isTaken1 = Record(9, segments: 15).put(into: &producer)
            #expect(!isTaken1)
            #expect(ring.lost == 3)
            var got: [UInt64] = []
            consumer.drain { ticks, _, _, list in
                got.append(ticks)
                #expect(list.count == 6)
            }
            let isTaken2 = Record(7, segments: 6).put(into: &producer)
            #expect(isTaken2)
            consumer.drain { ticks, _, _, _ in got.append(ticks) }
            #expect(got == [0, 1, 7])
        }
    }

    /// A producer that dies within a record leaves nothing of it, and its successor goes on.
    @Test func aSuccessorGoesOn() throws {
        let memory = try mapping(64)
        withExtendedLifetime(memory) {
            let ring = TraceRing(memory, capacity: 64)
            var consumer = ring.consumer()
            var first = ring.producer()
            let isTaken3 = Record(1, segments: 2).put(into: &first)
            #expect(isTaken3)
            let isTaken6 = first.begin(at: 2, queue: 0, .read, segments: 3)
            #expect(isTaken6)
            first.add(address: 4096, byteCount: 1)
            var second = ring.producer()
            let isTaken4 = Record(3, segments: 1).put(into: &second)
            #expect(isTaken4)
            var got: [UInt64] = []
            consumer.drain { ticks, _, _, _ in got.append(ticks) }
            #expect(got == [1, 3])
        }
    }

    /// Whatever the words are: nothing traps, and the reader comes to the end of what is there.
    @Test func senselessWordsAreLeftOut() throws {
        let memory = try mapping(16)
        withExtendedLifetime(memory) {
            let ring = TraceRing(memory, capacity: 16)
            var producer = ring.producer()
            var consumer = ring.consumer()
            let isTaken7 = producer.begin(at: 1, queue: 0, .read, segments: 2)
            #expect(isTaken7)
            producer.add(address: .max, byteCount: 1)
            producer.add(address: 4096, byteCount: .max)
            producer.end()
            let isTaken8 = producer.begin(at: 2, queue: 0, .read, segments: 0)
            #expect(isTaken8)
            producer.end()
            // How many segments: more than there are words.
            memory.base.storeBytes(of: .max, toByteOffset: 256 + 8 * 9, as: UInt64.self)
            var count = 0
            let none = consumer.drain { _, _, _, _ in count += 1 }
            #expect(none == 0 && count == 0)
            let isTaken5 = Record(3, segments: 1).put(into: &producer)
            #expect(isTaken5)
            let one = consumer.drain { _, _, _, _ in count += 1 }
            #expect(one == 1 && count == 1)
        }
    }
}
