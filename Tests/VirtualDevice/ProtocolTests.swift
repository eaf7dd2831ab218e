import DmaLinux
import Glibc
import GuestMemory
import PinLock
import Settings
import Telemetry
import Testing
import Virtqueue

@testable import VirtualDevice

@Suite struct ChunkCursorTests {
    /// Every list of up to three ranges of up to four pages, in every chunk size: the pages of the list in their order,
    /// and no chunk but the last smaller than asked for.
    @Test func walksEveryPageOnce() {
        var lists: [[UInt64]] = [[]]
        for _ in 1...3 { lists += lists.flatMap { list in (1...4).map { list + [$0] } } }
        var cursor = ChunkCursor()
        for lengths in Set(lists) {
            // A hole between two ranges, and descending order: the cursor takes what it gets.
            let ranges = lengths.enumerated().map {
                PageRange(start: UInt64(100 - 10 * $0), count: $1)
            }
            let pages = ranges.flatMap { Array($0.lower..<$0.upper) }
            for size in 1...13 {
                var chunks: [[PageRange]] = []
                cursor.start(ranges.count)
                while cursor.next(of: ranges, chunkPages: UInt64(size)) {
                    chunks.append(cursor.chunk)
                }
                let goesOn = cursor.next(of: ranges, chunkPages: UInt64(size))
                #expect(!goesOn)
                #expect(chunks.joined().flatMap { Array($0.lower..<$0.upper) } == pages)
                let counts = chunks.map { $0.reduce(0) { $0 + Int($1.count.rawValue) } }
                let expected = stride(from: 0, to: pages.count, by: size).map {
                    min(size, pages.count - $0)
                }
                #expect(counts == expected, "\(lengths) by \(size)")
            }
        }
    }

    @Test func aChunkOfEverythingIsTheList() {
        var cursor = ChunkCursor()
        let ranges = [range(3..<5), page(9), range(0..<2)]
        cursor.start(ranges.count)
        let isFirst = cursor.next(of: ranges, chunkPages: PageRange.frameLimit)
        #expect(isFirst && cursor.chunk == ranges)
        let goesOn = cursor.next(of: ranges, chunkPages: PageRange.frameLimit)
        #expect(!goesOn)
    }
}

@Suite struct DeviceArgumentsTests {
    @Test(arguments: [(0, nil), (63, 0), (5, 1023)] as [(Int, Int?)])
    func comeBackAsTheyWere(index: Int, processor: Int?) {
        let arguments = DeviceArguments(index: index, processor: processor)
        #expect(arguments.parent == getpid())
        #expect(DeviceArguments(arguments.commandLine) == arguments)
    }

    @Test(arguments: [
        [], ["dma-bench"], ["dma-bench", "device"], ["dma-bench", "device", "0", "1"],
        ["dma-bench", "device", "0", "1", "any", "more"], ["dma-bench", "run", "0", "1", "any"],
        ["dma-bench", "device", "x", "1", "any"], ["dma-bench", "device", "0", "", "any"],
        ["dma-bench", "device", "0", "99999999999", "any"],
        ["dma-bench", "device", "64", "1", "any"], ["dma-bench", "device", "-1", "1", "any"],
        ["dma-bench", "device", "0", "1", "foo"], ["dma-bench", "device", "0", "1", "-1"],
    ])
    func areNothingElse(_ arguments: [String]) {
        #expect(DeviceArguments(arguments) == nil)
    }
}

@Suite struct ControlChannelTests {
    private struct Pair: ~Copyable {
        let ours: ControlChannel
        let theirs: ControlChannel

        init() throws {
            let (one, other) = try FileDescriptor.packetPair()
            ours = ControlChannel(FileDescriptor(owning: one))
            theirs = ControlChannel(FileDescriptor(owning: other))
        }
    }

    @Test func carriesAMessageAndItsText() throws {
        let pair = try Pair()
        var settings = TurnSettings()
        settings.strategy = StrategyID(Epoch.self)
        settings.engine = .copy
        settings.cache = PageCount(77)
        settings.convertRate = .max
        settings.length = .seconds(0.25)
        let rings = try VirtqueueRings(
            queueSize: 64, descriptorTable: 1 << 43, availableRing: 6, usedRing: 1 << 40,
            usesEventIndex: true)
        var setup = TurnSetup(
            settings, rings: rings, queueArea: PageRange(start: 1 << 31, count: 3),
            scale: TickClock.calibrated().scale)
        setup.buffer = ScatterShape(
            start: GFN(7), pagesPerRange: PageCount(5), rangeCount: 3)
        try pair.ours.send(setup)
        let (received, text) = try #require(try pair.theirs.receive(TurnSetup.self))
        #expect(text.isEmpty)
        #expect(received.settings == settings && received.rings == rings)
        #expect(received.queueArea == setup.queueArea)
        #expect(received.buffer == setup.buffer)

        var reply = DeviceReply(.failed)
        reply.hotPair.nanoseconds = 1.5
        try pair.theirs.send(reply, text: "naïve – text")
        let answer = try #require(try pair.ours.receive(DeviceReply.self))
        #expect(answer.message.kind == .failed && answer.message.hotPair.nanoseconds == 1.5)
        #expect(answer.text == "naïve – text")
    }

    @Test func keepsMessagesApartAndInOrder() throws {
        let pair = try Pair()
        for number in 0..<10 as Range<UInt64> { try pair.ours.send(number, text: "\(number)") }
        for number in 0..<10 as Range<UInt64> {
            let (message, text) = try #require(try pair.theirs.receive(UInt64.self))
            #expect(message == number && text == "\(number)")
        }
    }

    @Test func cutsALongText() throws {
        let pair = try Pair()
        let long = String(repeating: "x", count: 10_000)
        try pair.ours.send(UInt8(1), text: long)
        let (message, text) = try #require(try pair.theirs.receive(UInt8.self))
        #expect(message == 1)
        #expect(!text.isEmpty && long.hasPrefix(text))
    }

    @Test func tellsThatTheOtherSideHasGone() throws {
        let hungUp = try Pair()
        try hungUp.ours.send(UInt64(1))
        hungUp.ours.hangUp()
        // What was sent before arrives.
        #expect(try hungUp.theirs.receive(UInt64.self)?.message == 1)
        #expect(try hungUp.theirs.receive(UInt64.self) == nil)

        let (one, other) = try FileDescriptor.packetPair()
        let theirs = ControlChannel(FileDescriptor(owning: other))
        close(one)
        #expect(try theirs.receive(UInt64.self) == nil)
        // An error, not the end of the process by SIGPIPE.
        #expect(throws: SystemError("send", code: EPIPE, on: "control socket")) {
            try theirs.send(UInt64(1))
        }
    }

    @Test func refusesAShortMessage() throws {
        let pair = try Pair()
        try pair.ours.send(UInt32(7))
        let error = #expect(throws: SystemError.self) { try pair.theirs.receive(UInt64.self) }
        #expect(error?.code == EPROTO)
        // The next one is read from its own start.
        try pair.ours.send(UInt64(8))
        #expect(try pair.theirs.receive(UInt64.self)?.message == 8)
    }
}

@Suite struct DeviceTelemetryTests {
    /// Two processes map it at different addresses; here it is one process twice.
    @Test func isSharedByItsMappings() throws {
        let mapping = try SharedMapping.create(
            name: "telemetry-test", byteCount: DeviceTelemetry.byteCount)
        let device = DeviceTelemetry(mapping)
        let hypervisor = DeviceTelemetry(
            try SharedMapping(
                mapping: try FileDescriptor.duplicate(mapping.fileDescriptor), name: "again"))
        #expect(!device.shouldStop)
        hypervisor.shouldStop = true
        #expect(device.shouldStop)
        hypervisor.shouldStop = false
        #expect(!device.shouldStop)

        var producer = device.ring.producer()
        var consumer = hypervisor.ring.consumer()
        var sample = DMASample()
        for generation in 1...UInt64(DeviceTelemetry.ringCapacity) {
            sample.generation = generation
            producer.append(sample)
        }
        var next: UInt64 = 0
        consumer.drain { sample in
            next += 1
            #expect(sample.generation == next)
        }
        #expect(next == UInt64(DeviceTelemetry.ringCapacity))
        #expect(!device.shouldStop)
    }
}
