import DmaLinux
import DmaWriter
import GuestMemory
import Synchronization
import Telemetry
import Testing
import Virtqueue

@testable import Guest

/// A device that writes what it is asked to, with the stamp of each piece, and remembers the generations.
private final class StampingDevice {
    private let index: Int
    private let view: GuestView
    private let writer: DmaWriter
    private let end: QueueEnd
    /// Of the pieces it completed, and the ranges of each.
    private(set) var served: [(generation: UInt64, ranges: [PageRange])] = []
    /// Pieces that it fails, counted from 0.
    var fails: Set<Int> = []
    private var count = 0

    init(_ index: Int, _ map: MemoryMap, in view: GuestView) throws {
        self.index = index
        self.view = view
        writer = try DmaWriter(engine: .copy, lanes: 1, device: UInt16(index))
        end = QueueEnd(map, index, in: view)
    }

    /// Serves the next request; false where there is none.
    func serve() -> Bool {
        guard case .valid = end.next() else { return false }
        defer { count += 1 }
        guard !fails.contains(count) else {
            end.complete(.ioError)
            served = []
            return true
        }
        let stamp = writer.stamp(generation: end.request.sector)
        writer.prepare(stamp)
        for range in end.request.ranges { writer.write(view.bytes(of: range), stamp: stamp) }
        served.append((end.request.sector, end.request.ranges))
        end.complete(.ok)
        return true
    }

    /// Pages of the last request that are not where they belong, by what the device knows of it.
    func missingPages(_ map: MemoryMap) -> Int {
        let last = served.suffix(Int(map.piecesPerRequest))
        return last.enumerated().reduce(0) { sum, piece in
            let stamp = writer.stamp(generation: piece.element.generation)
            let places = map.piece(UInt64(piece.offset), of: index).destinations
            return sum
                + places.reduce(0) {
                    $0
                        + Verification.missingLines(
                            in: UnsafeRawBufferPointer(view.bytes(of: $1)), expected: stamp,
                            engine: .copy, coverage: .oneLinePerPage)
                }
        }
    }
}

/// A driver of one device that bounces, or does it wrong.
private enum Bouncing: CaseIterable {
    case right, forgetsTheCopy, copiesBeforeCompletion, copiesTheFirstPieceOnly

    func run(_ requests: Int, _ map: MemoryMap, _ view: GuestView, _ device: StampingDevice) throws
    {
        var ring = DriverQueue(map.queueLayout, at: map.queueStarts[0], in: view)
        var log = CopyLog(clock: testClock, view: view)
        func copy(_ piece: Piece) { while !log.step(piece) {} }
        var generation: UInt64 = 0
        for _ in 0..<requests {
            for number in 0..<map.piecesPerRequest {
                let piece = map.piece(number, of: 0)
                generation += 1
                try ring.submit(data: piece.ranges, generation: generation)
                if self == .copiesBeforeCompletion { copy(piece) }
                try #require(device.serve())
                _ = try #require(try ring.poll())
                if self == .right || (self == .copiesTheFirstPieceOnly && number == 0) {
                    copy(piece)
                }
            }
        }
    }
}

@Suite struct BounceTests {
    /// Two ranges of six pages: pools that take the whole, a half, a piece across the ranges, a page.
    private static let pools: [UInt64] = [12, 6, 5, 1]

    private func map(pool: UInt64, devices: Int = 1) throws -> MemoryMap {
        try smallMap(devices: devices, pagesPerRange: 6, ranges: 2, pool: pool)
    }

    @Test(arguments: pools, Bouncing.allCases)
    private func aWrongDriverIsCaught(pool: UInt64, bouncing: Bouncing) throws {
        let map = try map(pool: pool)
        let view = try memory(of: map)
        let device = try StampingDevice(0, map, in: view)
        try bouncing.run(3, map, view, device)
        // With one piece the first is all there is.
        let isRight =
            bouncing == .right || (bouncing == .copiesTheFirstPieceOnly && pool == 12)
        #expect((device.missingPages(map) == 0) == isRight)
    }

    /// Runs drivers with their devices served in turns, by the same thread, for so many requests.
    private func run(
        _ drivers: [Driver], _ devices: [StampingDevice], _ control: TurnControl
    ) {
        for _ in 0..<10_000 where !control.driversAreDone {
            for driver in drivers { _ = driver.step(Moment(now: testClock.now())) }
            for device in devices { _ = device.serve() }
        }
        #expect(control.driversAreDone)
    }

    private func driver(
        _ index: Int, _ map: MemoryMap, _ view: GuestView, _ control: TurnControl,
        copies: Bool = true, signals: TestSignals = TestSignals()
    ) throws -> Driver {
        try Driver(
            of: index, map: map, view: view, control: control, signals: signals.signals,
            clock: testClock, copies: copies)
    }

    private func copies(of driver: Driver) -> (count: UInt64, sum: UInt64) {
        var latency = LatencyHistogram()
        driver.addCopies(to: &latency)
        return (latency.count, latency.sum)
    }

    @Test(arguments: pools, 1...2)
    func theGuestGetsWhatTheDeviceWrote(pool: UInt64, devices: Int) throws {
        let map = try map(pool: pool, devices: devices)
        let view = try memory(of: map)
        let control = TurnControl(operations: 30, isExact: true, devices: devices)
        let drivers = try map.buffers.indices.map { try driver($0, map, view, control) }
        let fakes = try map.buffers.indices.map { try StampingDevice($0, map, in: view) }
        run(drivers, fakes, control)
        for (index, fake) in fakes.enumerated() {
            // Requests come to their end, and every piece of them lies in the pool.
            #expect(fake.served.count % Int(map.piecesPerRequest) == 0)
            #expect(fake.missingPages(map) == 0)
            for (number, piece) in fake.served.enumerated() {
                let expected = map.piece(UInt64(number) % map.piecesPerRequest, of: index)
                // The device takes descriptors that follow each other for one range.
                #expect(
                    RecordingHypervisor.pages(of: piece.ranges)
                        == RecordingHypervisor.pages(of: expected.ranges))
                #expect(piece.ranges.count == 1)
                #expect(piece.ranges.allSatisfy { map.buffers[index].span.contains($0) })
            }
        }
    }

    /// Copies are counted by whole requests, of those that are measured.
    @Test(arguments: pools)
    func copiesAreCountedByRequests(pool: UInt64) throws {
        let map = try map(pool: pool)
        let view = try memory(of: map)
        let control = TurnControl(operations: 8, isExact: true)
        let signals = TestSignals(isSettled: false)
        let driver = try driver(0, map, view, control, signals: signals)
        let device = try StampingDevice(0, map, in: view)
        for _ in 0..<1000 {
            _ = driver.step(Moment(now: 1))
            _ = device.serve()
        }
        #expect(driver.generation > 24 && copies(of: driver).count == 0)
        signals.isSettled.store(true, ordering: .releasing)
        run([driver], [device], control)
        #expect(copies(of: driver).count == 8)
        #expect(copies(of: driver).sum > 0)
    }

    /// A piece that fails ends its request; the next begins with its first piece.
    @Test func aFailedPieceEndsItsRequest() throws {
        let map = try map(pool: 5)
        let view = try memory(of: map)
        let control = TurnControl(operations: 4, isExact: true)
        let driver = try driver(0, map, view, control)
        let device = try StampingDevice(0, map, in: view)
        device.fails = [0, 4, 7]
        run([driver], [device], control)
        #expect(device.missingPages(map) == 0)
        // Three pieces each: 0, 1...3, 4, 5...7 less the last, and three whole requests from 8 on.
        #expect(driver.generation == 17)
        #expect(device.served.count == 9)
        #expect(copies(of: driver).count == 4)
    }

    @Test func withoutCopiesNothingIsCopied() throws {
        let map = try map(pool: 5)
        let view = try memory(of: map)
        let control = TurnControl(operations: 8, isExact: true)
        let driver = try driver(0, map, view, control, copies: false)
        run([driver], [try StampingDevice(0, map, in: view)], control)
        #expect(copies(of: driver).count == 0)
        for range in map.targets.flatMap(\.ranges) {
            #expect(view.bytes(of: range).allSatisfy { $0 == 0 })
        }
    }

    @Test func withoutAPoolNothingIsCopied() throws {
        let map = try smallMap()
        #expect(map.piecesPerRequest == 1 && map.targets.isEmpty)
        #expect(map.piece(0, of: 1) == Piece(ranges: map.buffers[1].ranges))
    }

    /// Other programs of the vCPU wait for a part of a copy, never for the whole.
    @Test func aCopyGoesInParts() throws {
        let map = try smallMap(devices: 1, pagesPerRange: 300, ranges: 3, pool: 900)
        var log = CopyLog(clock: testClock, view: try memory(of: map))
        let piece = map.piece(0, of: 0)
        for _ in 0..<2 {
            var steps = 1
            while !log.step(piece) { steps += 1 }
            #expect(steps == (900 * 4096 + CopyLog.stepBytes - 1) / CopyLog.stepBytes)
        }
    }

    // MARK: Where pools and targets lie

    @Test func poolsAreSharedAndTargetsAreNot() throws {
        for pool in [1, 5, 12, 4096] as [UInt64] {
            for devices in 1...3 {
                for misalignment in [0, 3] as [UInt64] {
                    let map = try smallMap(
                        devices: devices, pagesPerRange: 6, ranges: 2, misalignment: misalignment,
                        pool: pool)
                    let what = "\(devices) devices, pools of \(pool), off by \(misalignment)"
                    #expect(map.buffers.allSatisfy { $0.pages.rawValue == min(pool, 12) })
                    #expect(map.buffers.allSatisfy { $0.rangeCount == 1 })
                    #expect(map.targets.count == devices)
                    let targets = map.targets.flatMap(\.ranges)
                    let shared = map.buffers.flatMap(\.ranges) + map.queueAreas
                    for target in targets {
                        #expect(map.privateRanges.contains { $0.contains(target) }, "\(what)")
                        #expect(!target.overlaps(map.free), "\(what)")
                    }
                    let all = (targets + shared).sorted { $0.lower < $1.lower }
                    for (range, next) in zip(all, all.dropFirst()) {
                        #expect(range.upper <= next.lower, "\(what)")
                    }
                    #expect(targets == targets.sorted { $0.lower < $1.lower }, "\(what)")
                }
            }
        }
    }

    @Test func poolsAndTargetsAreBothPartOfTheGuest() throws {
        let whole = try smallMap(devices: 2, pagesPerRange: 512, ranges: 1, pool: 512)
        let half = try smallMap(devices: 2, pagesPerRange: 512, ranges: 1, pool: 256)
        let none = try smallMap(devices: 2, pagesPerRange: 512, ranges: 1)
        #expect(whole.pages.rawValue - none.pages.rawValue == 2 * 512)
        #expect(half.pages.rawValue - none.pages.rawValue == 2 * 256)
        #expect(throws: MemoryMapError.tooSmall(needed: whole.pages)) {
            try MemoryMap(
                devices: 2, pagesPerRange: PageCount(512), rangeCount: 1,
                misalignment: PageCount(0), pool: PageCount(512), total: none.pages)
        }
    }

    /// The queue takes every piece, of ranges that are longer than a descriptor tells, too.
    @Test(arguments: [(1 << 20, 2, 3 << 19), (3, 300, 7), (1, 32_766, 40_000)])
    func queueTakesEveryPiece(pagesPerRange: UInt64, ranges: Int, pool: UInt64) throws {
        let map = try smallMap(
            devices: 1, pagesPerRange: pagesPerRange, ranges: ranges, pool: pool)
        var queue = DriverQueue(map.queueLayout, at: map.queueStarts[0], in: try memory(of: map))
        for number in 0..<map.piecesPerRequest {
            queue.release(try queue.prepare(data: map.piece(number, of: 0).ranges))
        }
    }

    @Test func morePiecesThanAnybodyWantsAreRefused() throws {
        let limit = MemoryMap.pieceLimit
        #expect(
            try smallMap(pagesPerRange: 2 * limit, ranges: 1, pool: 2).piecesPerRequest == limit)
        for (pages, pool) in [(2 * limit + 1, 2), (4, 0), (UInt64(1) << 31, 1)]
            as [(UInt64, UInt64)]
        {
            #expect(throws: MemoryMapError.tooManyPieces(limit: limit)) {
                try smallMap(devices: 1, pagesPerRange: pages, ranges: 1, pool: pool)
            }
        }
    }
}
