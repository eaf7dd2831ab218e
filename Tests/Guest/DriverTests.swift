import GuestMemory
import Linux
import Synchronization
import Testing
import Virtqueue

@testable import Guest

/// One device's side of a queue: takes requests and completes them until `shouldStop`, then what is left.
private final class FakeDevice: Sendable {
    struct Book {
        var generations: [UInt64] = []
        var ranges: [[PageRange]] = []
        var complaint: String?
    }

    private let book = Mutex(Book())
    private let stop = Atomic<Bool>(false)

    var generations: [UInt64] { book.withLock { $0.generations } }
    var ranges: [[PageRange]] { book.withLock { $0.ranges } }
    var complaint: String? { book.withLock { $0.complaint } }

    func end() { stop.store(true, ordering: .releasing) }

    /// `wait` is called where the queue is empty, with whether the device asked to be notified and found nothing.
    func serve(
        _ map: MemoryMap, _ index: Int, in view: GuestView,
        sleep: (() -> Void)? = nil, call: (() -> Void)? = nil
    ) {
        var queue = DeviceQueue(map.queueLayout, at: map.queueStarts[index], in: view)
        var request = DeviceRequest(for: map.queueLayout)
        var idle = Backoff()
        while true {
            switch queue.next(into: &request) {
            case .valid:
                book.withLock {
                    $0.generations.append(request.generation)
                    $0.ranges.append(request.ranges)
                }
                let bytes = request.byteCount.rawValue
                queue.complete(request, with: StatusRecord(.ok, bytesWritten: bytes))
                idle = Backoff()
                if let call, queue.driverWantsNotification() { call() }
            case .empty:
                if stop.load(ordering: .acquiring) { return }
                guard let sleep else {
                    idle.pause()
                    continue
                }
                if !queue.enableNotifications() { sleep() }
                queue.suppressNotifications()
            case .invalid(let reason):
                return book.withLock { $0.complaint = "\(reason)" }
            case .broken(let reason):
                return book.withLock { $0.complaint = "\(reason)" }
            }
        }
    }
}

/// An event descriptor that closures share.
private final class Event: Sendable {
    private let descriptor: FileDescriptor
    let lostWakeUps = Atomic<Int>(0)

    init() throws { descriptor = try .event() }

    func notify() { descriptor.notify() }

    /// Ten seconds are for ever: nobody has told us.
    func wait() {
        if !descriptor.waitNotified(timeoutMilliseconds: 10_000) {
            lostWakeUps.wrappingAdd(1, ordering: .relaxed)
        }
    }
}

@Suite struct DriverTests {
    private func polling(_ map: MemoryMap, _ view: GuestView) throws -> Driver {
        try Driver(
            map: map, view: view, kicks: map.buffers.map { _ in nil }, waitForInterrupt: nil)
    }

    @Test(arguments: 1...3)
    func keepsOneRequestPerDeviceInFlight(devices: Int) throws {
        let map = try smallMap(devices: devices)
        let view = try memory(of: map)
        let driver = try polling(map, view)
        let fakes = map.buffers.map { _ in FakeDevice() }
        var threads: [JoinableThread] = []
        for (index, fake) in fakes.enumerated() {
            threads.append(
                JoinableThread(
                    try WorkerThread(name: "device") { fake.serve(map, index, in: view) })
            )
        }
        let wanted: UInt64 = 300
        try driver.run(
            shouldStop: { driver.generation.load(ordering: .relaxed) >= wanted },
            isAbandoned: { false })
        for fake in fakes { fake.end() }
        for thread in threads { thread.join() }

        let last = driver.generation.load(ordering: .relaxed)
        let all = fakes.flatMap(\.generations)
        // Each request has a generation of its own, none is lost, each device gets its in order.
        #expect(all.sorted() == Array(1...last))
        #expect(last >= wanted && last < wanted + UInt64(devices))
        for (index, fake) in fakes.enumerated() {
            #expect(fake.complaint == nil)
            #expect(fake.generations == fake.generations.sorted())
            #expect(fake.ranges.allSatisfy { $0 == map.buffers[index].ranges })
        }
    }

    /// Both sides sleep whenever there is nothing to do, and neither sleeps through a notification.
    @Test func losesNoNotification() throws {
        let map = try smallMap(devices: 2)
        let view = try memory(of: map)
        let (kicks, interrupt) = ([try Event(), try Event()], try Event())
        let driver = try Driver(
            map: map, view: view, kicks: kicks.map { kick in { kick.notify() } },
            waitForInterrupt: { interrupt.wait() })
        let fakes = [FakeDevice(), FakeDevice()]
        var threads: [JoinableThread] = []
        for (index, fake) in fakes.enumerated() {
            let kick = kicks[index]
            threads.append(
                JoinableThread(
                    try WorkerThread(name: "device") {
                        fake.serve(
                            map, index, in: view, sleep: { kick.wait() },
                            call: { interrupt.notify() })
                    }))
        }
        try driver.run(
            shouldStop: { driver.generation.load(ordering: .relaxed) >= 2000 },
            isAbandoned: { false })
        for (fake, kick) in zip(fakes, kicks) {
            fake.end()
            kick.notify()
        }
        for thread in threads { thread.join() }
        #expect(fakes.flatMap(\.generations).count >= 2000)
        for event in kicks + [interrupt] {
            #expect(event.lostWakeUps.load(ordering: .relaxed) == 0)
        }
    }

    @Test func stopsWhereItIsAbandoned() throws {
        let map = try smallMap(devices: 2)
        let driver = try polling(map, try memory(of: map))
        var looks = 0
        try driver.run(
            shouldStop: { false },
            isAbandoned: {
                looks += 1
                return looks > 100
            })
        // Nobody has answered: each device was asked once.
        #expect(driver.generation.load(ordering: .relaxed) == 2)
    }

    @Test func doesNotBelieveADeviceThatIsAheadOfItself() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let driver = try polling(map, view)
        let used = view.pointer(to: map.queueAreas[0]) + map.queueLayout.usedRingOffset
        used.storeBytes(of: 5, toByteOffset: 2, as: UInt16.self)
        #expect(throws: DeviceError.usedIndexRanAhead(by: 5, outstanding: 1)) {
            try driver.run(shouldStop: { false }, isAbandoned: { false })
        }
    }

    @Test func doesNotBelieveADeviceThatNamesAnotherRequest() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let driver = try polling(map, view)
        let used = view.pointer(to: map.queueAreas[0]) + map.queueLayout.usedRingOffset
        used.storeBytes(of: 3, toByteOffset: 4, as: UInt32.self)
        used.storeBytes(of: 1, toByteOffset: 2, as: UInt16.self)
        #expect(throws: DeviceError.notOutstanding(head: 3)) {
            try driver.run(shouldStop: { false }, isAbandoned: { false })
        }
    }

    @Test func sharesInOrderAndStopsAtTheFirstRefusal() throws {
        let map = try smallMap(devices: 2)
        let driver = try polling(map, try memory(of: map))
        let ranges = map.queueAreas + map.buffers.flatMap(\.ranges)
        let willing = RecordingHypervisor()
        #expect(driver.share(ranges, through: willing) == nil)
        #expect(willing.calls.map(\.range) == ranges)
        #expect(willing.calls.allSatisfy { !$0.toPrivate })

        let other = RecordingHypervisor(shared: [ranges[3]])
        #expect(driver.share(ranges, through: other) == .refused(ranges[3].start))
        #expect(other.callCount == 4)
    }
}
