import DmaLinux
import Glibc
import Synchronization
import Testing

@testable import Telemetry

@Suite struct SampleRingTests {
    private func mapping(_ capacity: Int) throws -> SharedMapping {
        try SharedMapping.create(
            name: "test", byteCount: SampleRing.byteCount(capacity: capacity))
    }

    private func sample(_ number: UInt64) -> DMASample {
        var sample = DMASample()
        sample.generation = number
        return sample
    }

    @Test func aSampleIsOneCacheLine() {
        #expect(MemoryLayout<DMASample>.size == 64)
        #expect(MemoryLayout<DMASample>.stride == 64)
        #expect(SampleRing.byteCount(capacity: 16) == 256 + 16 * 64)
    }

    @Test func piecesOfARequestAddUp() {
        var request = sample(7)
        (request.bytes, request.pinTicks, request.writeTicks) = (1, 2, 3)
        (request.unpinTicks, request.totalTicks, request.gapTicks) = (4, 5, 6)
        var piece = request
        piece.generation = 8
        (piece.retries, piece.stalePages, piece.firstGFN) = (9, 10, 11)
        request.add(piece)
        #expect(request.generation == 7 && request.status == 0 && request.bytes == 2)
        #expect(request.pinTicks == 4 && request.writeTicks == 6 && request.unpinTicks == 8)
        #expect(request.totalTicks == 10 && request.gapTicks == 12)
        #expect(request.retries == 9 && request.stalePages == 10 && request.firstGFN == 11)
        (piece.retries, piece.stalePages, piece.gapTicks) = (.max, .max, DMASample.gapLimit)
        (piece.firstGFN, piece.status) = (12, 3)
        request.add(piece)
        #expect(request.retries == .max && request.stalePages == .max)
        #expect(request.gapTicks == DMASample.gapLimit)
        // The first page found, and how the request ended.
        #expect(request.firstGFN == 11 && request.status == 3)
    }

    /// Longer than a second, of any clock, and whole: neither half is lost.
    @Test func aGapMayLastMinutes() {
        var sample = sample(1)
        (sample.retries, sample.status) = (2, 3)
        for ticks: UInt64 in [0, 1, 1 << 32 - 1, 1 << 32, 0x9A_BCDE_F012, DMASample.gapLimit] {
            sample.gapTicks = ticks
            #expect(sample.gapTicks == ticks)
        }
        for ticks in [DMASample.gapLimit + 1, .max] {
            sample.gapTicks = ticks
            #expect(sample.gapTicks == DMASample.gapLimit)
        }
        #expect(sample.retries == 2 && sample.status == 3)
    }

    @Test func zerosAreAnEmptyRing() throws {
        let ring = SampleRing(in: try mapping(8), capacity: 8)
        var consumer = ring.consumer()
        #expect(consumer.drain { _ in Issue.record("a sample from nowhere") } == 0)
        #expect(ring.stalls == 0)
    }

    @Test func everyFieldArrives() throws {
        let ring = SampleRing(in: try mapping(1), capacity: 1)
        var sample = DMASample()
        sample.generation = 1
        sample.bytes = 2
        sample.pinTicks = 3
        sample.writeTicks = 4
        sample.unpinTicks = 5
        sample.totalTicks = 6
        sample.firstGFN = UInt32.max
        sample.stalePages = 7
        sample.gapTicks = 10 << 32 | 11
        sample.retries = 8
        sample.status = 9
        var producer = ring.producer()
        producer.append(sample)
        var consumer = ring.consumer()
        var got: [DMASample] = []
        #expect(consumer.drain { got.append($0) } == 1)
        #expect(got == [sample])
        #expect(consumer.drain { _ in } == 0)
    }

    /// From zero, and where the counters themselves wrap.
    @Test(arguments: [0, UInt64.max - 5])
    func orderHoldsAroundTheEnd(first: UInt64) throws {
        let mapping = try mapping(4)
        mapping.base.storeBytes(of: first, toByteOffset: 0, as: UInt64.self)
        mapping.base.storeBytes(of: first, toByteOffset: 128, as: UInt64.self)
        let ring = SampleRing(in: mapping, capacity: 4)
        var producer = ring.producer()
        var consumer = ring.consumer()
        var next: UInt64 = 0
        var expected: UInt64 = 0
        for round in 0..<20 {
            let count = round % 5
            for _ in 0..<count {
                producer.append(sample(next))
                next += 1
            }
            let drained = consumer.drain {
                #expect($0.generation == expected)
                expected += 1
            }
            #expect(drained == count)
        }
        #expect(expected == next && ring.stalls == 0)
    }

    @Test func aRingMayLieAnywhereAndBeMappedTwice() throws {
        let bytes = 4096 + SampleRing.byteCount(capacity: 8)
        let one = try SharedMapping.create(name: "test", byteCount: bytes)
        let other = try SharedMapping(
            mapping: FileDescriptor(owning: dup(one.fileDescriptor)), byteCount: bytes,
            name: "again")
        var producer = SampleRing(in: one, offset: 4096, capacity: 8).producer()
        var consumer = SampleRing(in: other, offset: 4096, capacity: 8).consumer()
        for number in 0..<5 { producer.append(sample(UInt64(number))) }
        var got: [UInt64] = []
        consumer.drain { got.append($0.generation) }
        #expect(got == [0, 1, 2, 3, 4])
        #expect(one.base.load(as: UInt64.self) == 0, "nothing outside the ring is touched")
    }

    @Test func bothSidesResumeWhereTheirPredecessorsStopped() throws {
        let ring = SampleRing(in: try mapping(4), capacity: 4)
        for number: UInt64 in 0..<3 {
            var producer = ring.producer()
            producer.append(sample(number))
            producer.append(sample(number + 100))
            var consumer = ring.consumer()
            var got: [UInt64] = []
            consumer.drain { got.append($0.generation) }
            #expect(got == [number, number + 100])
        }
    }

    @Test func aFullRingHoldsTheProducerBackAndLosesNothing() throws {
        let ring = SampleRing(in: try mapping(8), capacity: 8)
        let total: UInt64 = 20_000
        let appended = Progress()
        let thread = try WorkerThread(name: "producer") {
            var producer = ring.producer()
            for number in 0..<total {
                var sample = DMASample()
                sample.generation = number
                sample.totalTicks = ~number
                producer.append(sample)
                appended.count.store(number + 1, ordering: .releasing)
            }
        }
        var backoff = Backoff()
        while ring.stalls == 0 { backoff.pause() }
        #expect(appended.count.load(ordering: .acquiring) == 8)

        var consumer = ring.consumer()
        var expected: UInt64 = 0
        var torn = 0
        while expected < total {
            let drained = consumer.drain {
                if $0.generation != expected || $0.totalTicks != ~expected { torn += 1 }
                expected += 1
            }
            if drained == 0 { backoff.pause() }
        }
        thread.join()
        #expect(torn == 0)
        #expect(consumer.drain { _ in } == 0)
        #expect(ring.stalls >= 1 && ring.stalls <= total)
    }

    @Test func wrongShapesTrap() async {
        await #expect(processExitsWith: .failure) {
            let mapping = try SharedMapping.create(name: "test", byteCount: 4096)
            _ = SampleRing(in: mapping, capacity: 12)
        }
        await #expect(processExitsWith: .failure) {
            let mapping = try SharedMapping.create(name: "test", byteCount: 4096)
            _ = SampleRing(in: mapping, offset: 64, capacity: 8)
        }
        await #expect(processExitsWith: .failure) {
            let mapping = try SharedMapping.create(name: "test", byteCount: 4096)
            _ = SampleRing(in: mapping, capacity: 64)
        }
    }

    @Test func countersThatCannotBeTrap() async {
        await #expect(processExitsWith: .failure) {
            let mapping = try SharedMapping.create(name: "test", byteCount: 4096)
            mapping.base.storeBytes(of: 9, as: UInt64.self)
            var consumer = SampleRing(in: mapping, capacity: 8).consumer()
            consumer.drain { _ in }
        }
    }
}

private final class Progress: Sendable {
    let count = Atomic<UInt64>(0)
}
