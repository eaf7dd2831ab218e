import CRefuse
import DmaLinux
import DmaStatistics
import Glibc
import GuestMemory
import Testing

@testable import PinLock

@Suite struct OFDLockTests {
    private let strategy: OFDLock

    init() throws { strategy = try make(OFDLock.self, pages: 300, sharing: range(0..<300)) }

    /// Without a recovery: the kernel has seen to it.
    @Test func theLocksGoWithTheirDevice() throws {
        var device: OFDLock.Device? = strategy.pinner(for: DeviceID(0))
        _ = try device!.pin(range(2..<9))
        #expect(strategy.firstPinned(in: range(0..<300)) == GFN(2))
        device = nil
        #expect(strategy.firstPinned(in: range(0..<300)) == nil)
        #expect(strategy.recover(DeviceID(0), until: .now) == 1)
        #expect(try strategy.audit() == nil)
    }

    /// The kernel may answer a question without the spin lock that orders pins and conversions: a search tries the
    /// lock, and asks for the page alone that is in its way.
    @Test func aSearchTriesTheLockBeforeItAsks() throws {
        let thread = try WorkerThread(name: "asks for nothing") { [strategy] in
            #expect(crefuse_from_now_on(CREFUSE_FIND_LOCK, EPERM) == 0)
            #expect(strategy.search(range(0..<300), within: .max) == .none)
        }
        thread.join()
    }

    @Test func theLowestLockIsFound() throws {
        let devices = (0..<3).map { strategy.pinner(for: DeviceID($0)) }
        let pins = try [range(200..<210), range(20..<30), range(100..<120)].enumerated().map {
            try devices[$0].pin($1)
        }
        #expect(strategy.firstPinned(in: range(0..<300)) == GFN(20))
        #expect(strategy.firstPinned(in: range(25..<300)) == GFN(25))
        #expect(strategy.firstPinned(in: range(30..<300)) == GFN(100))
        #expect(strategy.firstPinned(in: range(30..<100)) == nil)
        for pin in pins { devices[pin.device.rawValue].unpin(pin) }
        #expect(strategy.firstPinned(in: range(0..<300)) == nil)
    }

    /// Many pins of few pages, most of them overlapping others of the same device.
    private func life<Strategy: PinStrategy>(of _: Strategy.Type, seed: UInt64) throws {
        let strategy = try make(Strategy.self, pages: 300)
        var sequence = RandomSequence(
            strategy, devices: 1, borders: [10, 20, 50, 100, 200], longest: 100, seed: seed)
        try sequence.share(range(0..<300))
        try sequence.run(steps: 2000)
        #expect(try strategy.audit() == nil)
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func overlappingPins(seed: UInt64) throws { try life(of: OFDLock.self, seed: seed) }

    @Test func unlockingUnderAnotherPinIsCaught() {
        #expect(throws: Disagreement.self) { try life(of: UnlocksAll.self, seed: 1) }
    }

    /// Pages are told free exactly when their last pin goes, against a count per page.
    @Test func coverageIsACountPerPage() throws {
        var coverage = PinCoverage()
        var pins = [Int](repeating: 0, count: 60)
        var held: [Range<UInt64>] = []
        var random = SplitMix64(seed: 9)
        for step in 0..<5000 {
            if held.count < step % 40 {
                let start = UInt64.random(in: 0..<60, using: &random)
                let pages = start..<UInt64.random(in: start + 1...60, using: &random)
                coverage.add(pages)
                for page in pages { pins[Int(page)] += 1 }
                held.append(pages)
            } else if !held.isEmpty {
                let pages = held.remove(at: .random(in: held.indices, using: &random))
                for page in pages { pins[Int(page)] -= 1 }
                var free: Set<UInt64> = []
                coverage.remove(pages) { free.formUnion($0) }
                try agree(free, Set(pages.filter { pins[Int($0)] == 0 }), "step \(step), \(pages)")
            }
        }
    }
}

/// Takes the lock of a range away, whatever other pins of the device are on it.
private struct UnlocksAll: Twin {
    let original: OFDLock

    init(arena: Arena) { original = OFDLock(arena: arena) }

    func pinner(for device: DeviceID) -> Device {
        Device(
            try! FileRangeLocks(reopening: arena.mapping.fileDescriptor), arena)
    }

    final class Device: Pinner {
        private let file: FileRangeLocks
        private let arena: Arena
        private let journal: JournalWriter

        init(_ file: consuming FileRangeLocks, _ arena: Arena) {
            self.file = file
            self.arena = arena
            journal = JournalWriter(DeviceID(0), in: arena)
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let range = ranges[0]
            for gfn in range.lower..<range.upper where !arena.table.isOpen(GFN(gfn)) {
                throw arena.table.refusal(of: range)
            }
            _ = try! file.share(range.lower..<range.upper)
            let pin = try journal.begin(ranges)
            journal.hold(pin)
            return pin
        }

        func unpin(_ pin: Pin) {
            journal.beginRelease(pin)
            try! file.release(pin.range.lower..<pin.range.upper)
            journal.end(pin)
        }
    }
}
