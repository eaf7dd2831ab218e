import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import PinLock
import Synchronization
import Testing
import Virtqueue

@testable import VirtualDevice

/// A device and a guest that changes everything while the device reads it; the fuzzer does the same move by move
/// (Tests/Fuzz/Device.swift).
@Suite struct HostileMemoryTests {
    /// No private page is written, every pin is given back, and afterwards a well-formed request is served.
    @Test(arguments: Candidate.safe)
    func theDeviceKeepsToItsPins(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        let guest = HostileGuest(bench, seed: 2024)
        let isOver = Atomic(false)
        let resets = Atomic(0)
        let thread = try WorkerThread(name: "guest") {
            // Threads that share one processor take turns slowly: on until everything has been seen often.
            for move in 0..<20_000_000 {
                let hasSeenAll =
                    guest.requests.served >= 50 && guest.requests.refused >= 50
                    && guest.conversions.done >= 200 && resets.load(ordering: .relaxed) >= 20
                if move >= 20_000, hasSeenAll { break }
                guest.move()
                if move % 64 == 0 { sched_yield() }
            }
            isOver.store(true, ordering: .releasing)
            bench.telemetry.shouldStop = true
        }
        while !isOver.load(ordering: .acquiring) {
            guest.resetQueue()
            var loop = try bench.makeLoop()
            if loop.run() != nil { resets.add(1, ordering: .relaxed) }
        }
        thread.join()
        guest.collect()
        #expect(guest.requests.served >= 50 && guest.requests.refused >= 50)
        #expect(guest.conversions.done >= 200 && resets.load(ordering: .relaxed) >= 20)
        guest.checkPrivatePages()
        #expect(guest.violations == 0)
        #expect(bench.pinsInFlight == 0)
        #expect(try bench.strategy.audit() == nil)

        for page in 40..<44 as Range<UInt64> where !guest.isShared[Int(page)] {
            try bench.convert(range(page..<page + 1), to: .shared)
        }
        bench.fill()
        #expect(
            try bench.serve([[page(42), range(40..<42)]])
                == [Answer(.ok, bytesWritten: 3 * pageSize)])
        #expect(bench.pages(writtenBy: 1).written == [40, 41, 42])
    }

    /// Broken on purpose: pins the page that it reads in the descriptor, and reads it once more for the write.
    @Test func aDescriptorReadTwiceIsCaught() throws {
        let bench = try Bench(RangeTree.self)
        let guest = HostileGuest(bench, seed: 7)
        let stop = Atomic(false)
        let found = Atomic(0)
        let thread = try WorkerThread(name: "guest") {
            while !stop.load(ordering: .acquiring) {
                guest.move()
                found.store(guest.violations, ordering: .relaxed)
            }
        }
        let writer = try DmaWriter(engine: .nt, lanes: 1, device: 0)
        let descriptor = (bench.view.pointer(to: bench.queueArea) + 16)
            .assumingMemoryBound(to: Atomic<UInt64>.self)
        func readPage() -> PageRange? {
            let number = descriptor.pointee.load(ordering: .relaxed) / pageSize
            let range = PageRange(checkingStart: number, count: 1)
            guard let range, range.upper <= Bench.pages, !range.overlaps(bench.queueArea) else {
                return nil
            }
            return range
        }
        for _ in 0..<50_000_000 where found.load(ordering: .relaxed) == 0 {
            guard let checked = readPage(), let pin = try? bench.pinner.pin(checked) else {
                continue
            }
            if let used = readPage() {
                writer.write(bench.view.bytes(of: used), stamp: writer.stamp(generation: 1))
            }
            bench.pinner.unpin(pin)
        }
        stop.store(true, ordering: .releasing)
        thread.join()
        #expect(found.load(ordering: .relaxed) > 0)
    }
}
