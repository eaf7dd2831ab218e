import DmaLinux
import DmaWriter
import GuestMemory
import Synchronization
import Telemetry
import Testing
import Virtqueue

@testable import PinLock
@testable import VirtualDevice

/// The device's thread against the hypervisor's, over one mapping.
@Suite struct ConcurrencyTests {
    /// The guest takes the buffer's last page back under the write, which the strategy does not prevent: the device
    /// notices by itself. What it made of the request then, and its sample.
    private func convertUnderWrite(
        _ strategy: any PinStrategy.Type, _ buffer: PageRange, and others: [PageRange] = []
    ) throws -> (status: Answer, sample: DMASample) {
        let bench = try Bench(strategy, pages: 8192)
        let victim = page(buffer.upper - 1)
        try bench.convert(buffer, to: .shared)
        var options = Bench.Options()
        options.chunk = buffer.count.rawValue
        // The write may be over before the conversion comes: then once more.
        var attempts = 0
        while true {
            attempts += 1
            let firstWord = bench.view.pointer(to: buffer).assumingMemoryBound(
                to: Atomic<UInt64>.self)
            firstWord.pointee.store(0, ordering: .relaxed)
            let begun = Shared(firstWord)
            let converter = try WorkerThread(name: "converter") {
                waitUntil { begun.word.pointee.load(ordering: .relaxed) != 0 }
                _ = try? bench.convert(victim, to: .private)
            }
            let statuses = try bench.serve([[buffer] + others], options)
            converter.join()
            try bench.convert(victim, to: .shared)
            let sample = try #require(bench.takeSamples().first)
            if sample.stalePages > 0 || attempts == 50 {
                let status = try #require(statuses.first ?? nil)
                return (status, sample)
            }
        }
    }

    @Test func aPageConvertedUnderTheWriteIsReported() throws {
        let buffer = range(Bench.firstPage..<8192)
        let (status, sample) = try convertUnderWrite(None.self, buffer)
        #expect(status == Answer(.ok, bytesWritten: buffer.count.bytes.rawValue))
        #expect(sample.stalePages == 1 && sample.firstGFN == UInt32(buffer.upper - 1))
    }

    /// A later chunk is refused: the sample names the page that was wronged.
    @Test func aPageConvertedUnderTheWriteIsNamedBeforeARefusedOne() throws {
        let buffer = range(Bench.firstPage..<8000)
        let (status, sample) = try convertUnderWrite(LooksOnly.self, buffer, and: [page(8100)])
        #expect(
            status
                == Answer(.privatePage, bytesWritten: buffer.count.bytes.rawValue))
        #expect(sample.stalePages == 1 && sample.firstGFN == UInt32(buffer.upper - 1))
    }

    /// Holds nothing: refuses what is private when it looks.
    private struct LooksOnly: KeepsNothing {
        static var info: StrategyInfo { None.info }
        static func metadataByteCount(pages: PageCount) -> Int { 0 }

        let arena: Arena

        func pinner(for device: DeviceID) -> Device { Device(arena.table, device) }

        final class Device: Pinner {
            private let table: RMPTable
            private let holder: EmptyPinner

            init(_ table: RMPTable, _ device: DeviceID) {
                self.table = table
                holder = EmptyPinner(device)
            }

            func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
                for index in ranges.indices {
                    let range = ranges[index]
                    for page in range.lower..<range.upper where !table.isOpen(GFN(page)) {
                        throw .privatePage(GFN(page))
                    }
                }
                return holder.pin(ranges)
            }

            func unpin(_ pin: Pin) { holder.unpin(pin) }
        }
    }

    /// A pointer into memory that two threads share.
    private final class Shared: @unchecked Sendable {
        let word: UnsafeMutablePointer<Atomic<UInt64>>

        init(_ word: UnsafeMutablePointer<Atomic<UInt64>>) { self.word = word }
    }

    /// No safe strategy lets that happen, however hard the guest tries.
    @Test(arguments: Candidate.safe)
    func noPageIsConvertedUnderAPin(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type, pages: 1024)
        let buffer = range(Bench.firstPage..<1024)
        try bench.convert(buffer, to: .shared)
        let stop = Atomic<Bool>(false)
        let converter = try WorkerThread(name: "converter") {
            var number: UInt64 = 0
            while !stop.load(ordering: .acquiring) {
                number = (number + 37) % buffer.count.rawValue
                let victim = page(buffer.lower + number)
                guard (try? bench.convert(victim, to: .private)) != nil else { continue }
                _ = try? bench.convert(victim, to: .shared)
            }
        }
        var (done, refused) = (0, 0)
        for _ in 0..<100 {
            for status in try bench.serve([[buffer], [buffer], [buffer]]) {
                if status?.code == .ok { done += 1 } else { refused += 1 }
            }
        }
        stop.store(true, ordering: .releasing)
        converter.join()
        let samples = bench.takeSamples()
        #expect(samples.count == 300 && done + refused == 300)
        #expect(samples.allSatisfy { $0.stalePages == 0 })
        #expect(bench.pinsInFlight == 0)
        #expect(try bench.strategy.audit() == nil)
    }

    // MARK: Conversions in progress

    /// A conversion that waits for the second device's pin; `body` runs while it does.
    private func whileConverting(
        _ bench: Bench, _ converted: PageRange, heldBy pinned: PageRange, deadline: Deadline,
        unpins: Bool, _ body: () throws -> Void
    ) throws {
        let other = bench.strategy.pinner(for: DeviceID(1))
        let pin = try other.pin(pinned)
        let converter = try WorkerThread(name: "converter") {
            _ = try? bench.convert(converted, to: .private, policy: .wait(until: deadline))
        }
        let probe = bench.strategy.pinner(for: DeviceID(2))
        waitUntil {
            do throws(PinRefusal) {
                probe.unpin(try probe.pin(converted))
                return false
            } catch {
                return true
            }
        }
        let result = Result { try body() }
        if unpins { other.unpin(pin) }
        converter.join()
        if !unpins { other.unpin(pin) }
        try result.get()
    }

    @Test(arguments: Candidate.safe)
    func aRequestGivesUpOnAConversionThatDoesNotEnd(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        try whileConverting(
            bench, range(20..<24), heldBy: page(20), deadline: .after(milliseconds: 60_000),
            unpins: true
        ) {
            var options = Bench.Options()
            options.retryNanoseconds = 5_000_000
            let status = try bench.serve([[range(18..<22)], [page(40)]], options)
            let first = try #require(status[0])
            #expect(first.code == .conversionInProgress && first.bytesWritten == 0)
            #expect((20..<24).contains(first.gfn.rawValue))
            #expect(status[1] == Answer(.ok, bytesWritten: pageSize))
            let sample = bench.takeSamples()[0]
            #expect(sample.retries > 0)
            #expect(sample.status == RequestOutcome.conversionInProgress.rawValue)
            #expect(bench.pages(writtenBy: 1).written.isEmpty)
        }
        #expect(bench.pinsInFlight == 0)
        #expect(try bench.strategy.audit() == nil)
    }

    @Test(arguments: Candidate.safe)
    func aRequestSucceedsOnceTheConversionIsRefused(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        try bench.convert(range(16..<64), to: .shared)
        try whileConverting(
            bench, range(20..<24), heldBy: page(20), deadline: .after(milliseconds: 50),
            unpins: false
        ) {
            var options = Bench.Options()
            options.retryNanoseconds = 60_000_000_000
            let status = try bench.serve([[range(18..<24)]], options)
            #expect(status == [Answer(.ok, bytesWritten: 6 * pageSize)])
        }
        #expect(bench.pinsInFlight == 0)
    }

    // MARK: Long-lived pins

    /// The device lets a registration go between requests when a conversion asks for it, asleep or not.
    @Test(arguments: [false, true])
    func revokesBetweenRequests(sleeps: Bool) throws {
        let bench = try Bench(LongLived.self)
        try bench.convert(range(16..<64), to: .shared)
        try bench.pinner.register([range(16..<32)])
        #expect(throws: ConversionRefusal.pinned(GFN(20))) {
            try bench.convert(page(20), to: .private)
        }
        var driver = bench.makeDriver()
        var options = Bench.Options()
        options.sleeps = sleeps
        let device = try runInThread(bench, options)
        let path = try bench.convert(
            page(20), to: .private, policy: .revoke(until: .after(milliseconds: 60_000)))
        #expect(path == .revoked)
        // The registration is gone: requests are pinned one by one now.
        try driver.submit(data: [range(16..<20)], generation: 1)
        try driver.submit(data: [range(18..<22)], generation: 2)
        bench.kick.notify()
        var codes: [RequestStatus?] = []
        waitUntil {
            if let completion = try? driver.poll() { codes.append(completion.status) }
            return codes.count == 2
        }
        #expect(codes == [.ok, .ioError])
        #expect(bench.telemetry.lastFailure == .privatePage)
        bench.telemetry.shouldStop = true
        bench.kick.notify()
        device.join()
        bench.pinner.unregister()
        #expect(bench.pinsInFlight == 0)
    }

    // MARK: Sleeping

    /// A device that sleeps is woken by a kick, tells the driver, and ends when it is told to.
    @Test func sleepsBetweenRequests() throws {
        let bench = try Bench(RangeTree.self)
        try bench.convert(range(16..<64), to: .shared)
        var driver = bench.makeDriver()
        var options = Bench.Options()
        options.sleeps = true
        let device = try runInThread(bench, options)
        for generation in 1...500 as ClosedRange<UInt64> {
            try driver.submit(data: [page(16)], generation: generation)
            if driver.deviceWantsNotification() { bench.kick.notify() }
            while try driver.poll() == nil {
                if driver.enableNotifications() { continue }
                try #require(bench.call.wait(), "request \(generation): nobody tells the driver")
            }
        }
        bench.telemetry.shouldStop = true
        bench.kick.notify()
        device.join()
        #expect(bench.takeSamples().count == 500)
    }

    private func runInThread(_ bench: Bench, _ options: Bench.Options) throws -> JoinableThread {
        JoinableThread(
            try WorkerThread(name: "device") {
                guard var loop = try? bench.makeLoop(options) else { return }
                _ = loop.run()
            })
    }
}
