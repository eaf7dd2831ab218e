import DmaWriter
import GuestMemory
import Linux
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
    private var queue: DeviceQueue
    private var request: DeviceRequest
    /// Of the pieces it completed, and the ranges of each.
    private(set) var served: [(generation: UInt64, ranges: [PageRange])] = []
    /// Pieces that it fails, counted from 0.
    var fails: Set<Int> = []
    private var count = 0

    init(_ index: Int, _ map: MemoryMap, in view: GuestView) throws {
        self.index = index
        self.view = view
        writer = try DmaWriter(engine: .copy, lanes: 1, device: UInt16(index))
        queue = DeviceQueue(map.queueLayout, at: map.queueStarts[index], in: view)
        request = DeviceRequest(for: map.queueLayout)
    }

    /// Serves the next request; false where there is none.
    func serve() -> Bool {
        guard case .valid = queue.next(into: &request) else { return false }
        defer { count += 1 }
        guard !fails.contains(count) else {
            queue.complete(request, with: StatusRecord(.ioError))
            served = []
            return true
        }
        let stamp = writer.stamp(generation: request.generation)
        writer.prepare(stamp)
        for range in request.ranges { writer.write(view.bytes(of: range), stamp: stamp) }
        served.append((request.generation, request.ranges))
        let bytes = request.byteCount.rawValue
        queue.complete(request, with: StatusRecord(.ok, bytesWritten: bytes))
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
        let log = CopyLog(clock: .calibrated(), view: view)
        var generation: UInt64 = 0
        for _ in 0..<requests {
            for number in 0..<map.piecesPerRequest {
                let piece = map.piece(number, of: 0)
                generation += 1
                try ring.submit(data: piece.ranges, generation: generation)
                if self == .copiesBeforeCompletion { _ = log.carryOut(piece) }
                try #require(device.serve())
                _ = try #require(try ring.poll())
                if self == .right || (self == .copiesTheFirstPieceOnly && number == 0) {
                    _ = log.carryOut(piece)
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

    /// Runs the driver with its devices served in turns, by the same thread, until so many pieces were submitted.
    private func run(_ driver: Driver, _ devices: [StampingDevice], pieces: UInt64) throws {
        for _ in 0..<10 where driver.generation.load(ordering: .relaxed) < pieces {
            var idleTurns = 0
            try driver.run(
                shouldStop: { driver.generation.load(ordering: .relaxed) >= pieces },
                isAbandoned: {
                    for device in devices where device.serve() { idleTurns = 0 }
                    idleTurns += 1
                    return idleTurns > 1000
                })
        }
    }

    private func polling(_ map: MemoryMap, _ view: GuestView, copies: Bool = true) throws -> Driver
    {
        try Driver(
            map: map, view: view, kicks: map.buffers.map { _ in nil }, waitForInterrupt: nil,
            copyClock: copies ? .calibrated() : nil)
    }

    @Test(arguments: pools, 1...2)
    func theGuestGetsWhatTheDeviceWrote(pool: UInt64, devices: Int) throws {
        let map = try map(pool: pool, devices: devices)
        let view = try memory(of: map)
        let driver = try polling(map, view)
        let fakes = try map.buffers.indices.map { try StampingDevice($0, map, in: view) }
        try run(driver, fakes, pieces: 100)
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

    /// Copies are counted by whole requests, from the first that begins after the call.
    @Test(arguments: pools)
    func copiesAreCountedByRequests(pool: UInt64) throws {
        let map = try map(pool: pool)
        let view = try memory(of: map)
        let driver = try polling(map, view)
        let device = try StampingDevice(0, map, in: view)
        let copies = try #require(driver.copies)
        try run(driver, [device], pieces: 24)
        #expect(copies.latency.count == 0)
        let before = driver.generation.load(ordering: .relaxed)
        #expect(driver.countFromNextRequest() == before + 1)
        try run(driver, [device], pieces: before + 24)
        let pieces = driver.generation.load(ordering: .relaxed) - before
        #expect(copies.latency.count == pieces / map.piecesPerRequest)
        #expect(copies.latency.sum > 0)
    }

    /// A piece that fails ends its request; the next begins with its first piece.
    @Test func aFailedPieceEndsItsRequest() throws {
        let map = try map(pool: 5)
        let view = try memory(of: map)
        let driver = try polling(map, view)
        _ = driver.countFromNextRequest()
        let device = try StampingDevice(0, map, in: view)
        device.fails = [0, 4, 7]
        try run(driver, [device], pieces: 20)
        #expect(device.missingPages(map) == 0)
        // Three pieces each; pieces 0, 1...3, 4, 5...7 less the last, and whole ones from 8 on.
        #expect(device.served.count % 3 == 0)
        let copies = try #require(driver.copies)
        #expect(copies.latency.count == UInt64(1 + device.served.count / 3))
    }

    @Test func withoutAClockNothingIsCopied() throws {
        let map = try map(pool: 5)
        let view = try memory(of: map)
        let driver = try polling(map, view, copies: false)
        let device = try StampingDevice(0, map, in: view)
        try run(driver, [device], pieces: 20)
        #expect(driver.copies == nil)
        for range in map.targets.flatMap(\.ranges) {
            #expect(view.bytes(of: range).allSatisfy { $0 == 0 })
        }
    }

    @Test func withoutAPoolNothingIsCopied() throws {
        let map = try smallMap()
        #expect(try polling(map, try memory(of: map)).copies == nil)
        #expect(map.piecesPerRequest == 1 && map.targets.isEmpty)
        #expect(map.piece(0, of: 1) == Piece(ranges: map.buffers[1].ranges))
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
