import CRefuse
import DmaLinux
import Glibc
import GuestMemory
import Testing

@testable import PinLock

/// What a pin takes once, whether it is of one range or of many; a loop over single pins takes it for each of them.
@Suite struct ListCostTests {
    /// A request's, none beside another.
    private static let list = (0..<UInt64(126)).map { page(2 * $0) }
    private static let pages: UInt64 = 252
    private static let device = DeviceID(0)

    private func make<Strategy: PinStrategy>(_ type: Strategy.Type) throws -> Strategy {
        try PinLockTests.make(type, pages: Self.pages, sharing: range(0..<Self.pages))
    }

    /// How much of something a pin of the list takes, and its unpin.
    private struct Cost: Equatable {
        let pin: Int
        let unpin: Int

        static let none = Cost(pin: 0, unpin: 0)
        static let once = Cost(pin: 1, unpin: 1)
        static let forEachRange = Cost(pin: list.count, unpin: list.count)
    }

    private static func cost(
        of pinner: any Pinner, _ counter: () -> Int
    ) throws(PinRefusal) -> Cost {
        let before = counter()
        let token = try pinner.pin(list.span)
        let between = counter()
        pinner.unpin(token)
        return Cost(pin: between - before, unpin: counter() - between)
    }

    /// The same in calls of a kind, by a device on a thread of its own.
    private func calls(
        _ call: crefuse_call, by makePinner: @escaping @Sendable () throws -> any Pinner
    ) throws -> Cost {
        // The thread's, until it has been joined.
        nonisolated(unsafe) var cost = Result<Cost, any Error>.success(.none)
        try WorkerThread(name: "device") {
            cost = Result {
                let pinner = try makePinner()
                #expect(crefuse_count_from_now_on(call) == 0)
                return try Self.cost(of: pinner) { crefuse_count() }
            }
        }.join()
        return try cost.get()
    }

    /// The device's calls for packets are as many as there are packets.
    @Test(arguments: [CREFUSE_SEND, CREFUSE_RECEIVE])
    func theHypervisorIsAskedOnce(_ call: crefuse_call) throws {
        func calls(of pinner: @escaping @Sendable (any Pinner) -> any Pinner) throws -> Cost {
            let strategy = try make(RPC.self)
            let (near, far) = try FileDescriptor.packetPair()
            defer { for end in [near, far] { close(end) } }
            let server = JoinableThread(
                try WorkerThread(name: "serve") {
                    try? strategy.serve(Self.device, on: near) { _ in false }
                })
            defer { server.join() }
            return try self.calls(call) {
                pinner(RPC.Device(.remote(Asker(Self.device, far))))
            }
        }
        #expect(try calls { $0 } == .once)
        #expect(try calls { OneByOne($0) } == .forEachRange)
    }

    @Test(
        .enabled("io_uring or memory that may be locked is missing") {
            KernelPin.unavailability(pinning: PageCount(pages)) == nil
        })
    func theKernelPinsAListAtOnce() throws {
        func calls(of pinner: @escaping @Sendable (any Pinner) -> any Pinner) throws -> Cost {
            let strategy = try make(KernelPin.self)
            let memory = GuestView(
                try SharedMapping.create(name: "guest", byteCount: Int(Self.pages * pageSize)))
            return try self.calls(CREFUSE_IO_URING_REGISTER) {
                pinner(
                    try strategy.pinner(
                        for: Self.device, in: DeviceSurroundings(memory: memory, hypervisor: -1)))
            }
        }
        #expect(try calls { $0 } == .once)
        #expect(try calls { OneByOne($0) } == .forEachRange)
    }

    @Test func aDeviceTakesNoBarrier() throws {
        let (epoch, slots) = (try make(Epoch.self), try make(Slots.self))
        for makePinner: @Sendable () -> any Pinner in [
            { epoch.pinner(for: Self.device) }, { slots.pinner(for: Self.device) },
        ] {
            #expect(try calls(CREFUSE_MEMBARRIER, by: makePinner) == .none)
        }
        let broken = try make(Epoch.self)
        #expect(
            try calls(CREFUSE_MEMBARRIER) { TakesABarrier(broken.pinner(for: Self.device)) }
                == .once)
    }

    // MARK: The mutex

    @Test func theMutexIsTakenOnce() throws {
        func check<Index: PinIndex>(_: Index.Type, _ arena: Arena) throws {
            let pins = LockedPins<Counting<Index>>(arena: arena)
            let device = LockedDevice(pins: pins, journal: pins.journal(of: Self.device))
            #expect(try Self.cost(of: device) { pins.index.changes.value } == .once)
            #expect(
                try Self.cost(of: OneByOne(device)) { pins.index.changes.value } == .forEachRange)
        }
        try check(PinList.self, try make(MutexList.self).arena)
        try check(IntervalTree.self, try make(IntervalTreeLock.self).arena)
    }

    private final class LockedDevice<Index: PinIndex>: Pinner {
        private let pins: LockedPins<Index>
        private let journal: JournalWriter

        init(pins: LockedPins<Index>, journal: JournalWriter) {
            self.pins = pins
            self.journal = journal
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try pins.pin(ranges, journal)
        }
        func unpin(_ pin: Pin) { pins.unpin(pin, journal) }
    }

    // MARK: Counterexamples

    /// Pins the ranges of a list one after the other.
    private final class OneByOne: Pinner {
        private let original: any Pinner
        private var pins: [Pin] = []

        init(_ original: any Pinner) { self.original = original }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            for index in ranges.indices { pins.append(try original.pin(ranges[index])) }
            return pins[0]
        }

        func unpin(_ pin: Pin) { while let pin = pins.popLast() { original.unpin(pin) } }
    }

    /// Puts a barrier between what it says and what it looks at, which the converter should pay for.
    private final class TakesABarrier: Pinner {
        private let original: any Pinner

        init(_ original: any Pinner) { self.original = original }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try! ProcessBarrier.issue()
            return try original.pin(ranges)
        }

        func unpin(_ pin: Pin) {
            original.unpin(pin)
            try! ProcessBarrier.issue()
        }
    }

    /// How often an index was changed, which is with the mutex in hand.
    private struct Counting<Index: PinIndex>: PinIndex {
        static var byteCount: Int { Index.byteCount }
        let original: Index
        let changes = Counter()

        init(at base: UnsafeMutableRawPointer, arena: Arena) {
            original = Index(at: base, arena: arena)
        }

        func insert(_ entry: Int, of device: DeviceID) {
            changes.add(1)
            original.insert(entry, of: device)
        }
        func remove(_ entry: Int, of device: DeviceID) {
            changes.add(1)
            original.remove(entry, of: device)
        }
        func firstPinned(in range: PageRange) -> GFN? { original.firstPinned(in: range) }
        func rebuild() { original.rebuild() }
        func audit() -> String? { original.audit() }
    }
}
