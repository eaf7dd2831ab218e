import DmaLinux
import GuestMemory
import Synchronization
import Telemetry
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
        let end = QueueEnd(map, index, in: view)
        var idle = Backoff()
        while true {
            switch end.next() {
            case .valid:
                book.withLock {
                    $0.generations.append(end.request.sector)
                    $0.ranges.append(end.request.ranges)
                }
                end.complete(.ok)
                idle = Backoff()
                if let call, end.queue.driverWantsNotification() { call() }
            case .empty:
                if stop.load(ordering: .acquiring) { return }
                guard let sleep else {
                    idle.pause()
                    continue
                }
                if !end.queue.enableNotifications() { sleep() }
                end.queue.suppressNotifications()
            case .unsupported(let type):
                return book.withLock { $0.complaint = "type \(type)" }
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
        let patience = Deadline.after(milliseconds: 10_000)
        while !descriptor.waitNotified(until: patience) {
            // A signal ends a wait as well.
            guard patience.hasPassed else { continue }
            lostWakeUps.wrappingAdd(1, ordering: .relaxed)
            return
        }
    }
}

@Suite struct DriverTests {
    private func driver(
        _ index: Int, _ map: MemoryMap, _ view: GuestView, _ control: TurnControl,
        signals: TestSignals = TestSignals(), listens: Bool = false
    ) throws -> Driver {
        try Driver(
            of: index, map: map, view: view, control: control, signals: signals.signals,
            clock: testClock, listens: listens)
    }

    /// Runs drivers on one vCPU against devices on threads of their own; how many requests were measured.
    private func run(_ map: MemoryMap, _ control: TurnControl) throws -> Int {
        let view = try memory(of: map)
        let signals = map.buffers.map { _ in TestSignals() }
        let drivers = try map.buffers.indices.map {
            try driver($0, map, view, control, signals: signals[$0])
        }
        let fakes = map.buffers.map { _ in FakeDevice() }
        var threads: [JoinableThread] = []
        for (index, fake) in fakes.enumerated() {
            threads.append(
                JoinableThread(
                    try WorkerThread(name: "device") { fake.serve(map, index, in: view) }))
        }
        VCPU(drivers, clock: testClock, control: control, idling: .sleep { sleep(until: $0) }).run()
        for fake in fakes { fake.end() }
        for thread in threads { thread.join() }
        for (driver, fake) in zip(drivers, fakes) {
            #expect(fake.complaint == nil)
            #expect(fake.generations == Array(1..<driver.generation + 1))
            #expect(driver.lastCompleted == fake.generations.suffix(1))
        }
        for (index, fake) in fakes.enumerated() {
            #expect(fake.ranges.allSatisfy { $0 == map.buffers[index].ranges })
        }
        return zip(drivers, signals).reduce(0) { sum, side in
            let first = side.1.measuresFrom.load(ordering: .relaxed)
            return sum + (first == .max ? 0 : Int(side.0.generation - first + 1))
        }
    }

    /// No request is lost, each device gets its in order, and there are as many as were asked for.
    @Test(arguments: 1...3, [1, 2, 10, 301] as [UInt64])
    func submitsAsManyAsWereAskedFor(devices: Int, operations: UInt64) throws {
        let control = TurnControl(operations: operations, isExact: true, devices: devices)
        #expect(try run(try smallMap(devices: devices), control) == Int(operations))
        #expect(control.driversAreDone && control.deviceError == nil)
    }

    @Test func submitsAtLeastAsManyWhereThereIsNoLimit() throws {
        let control = TurnControl(operations: 100, devices: 2)
        #expect(try run(try smallMap(devices: 2), control) >= 100)
    }

    /// What comes before all devices have settled does not count.
    @Test func measuresOnceAllDevicesHaveSettled() throws {
        let map = try smallMap(devices: 2)
        let view = try memory(of: map)
        let control = TurnControl(operations: 3, isExact: true, devices: 2)
        let signals = [TestSignals(isSettled: false), TestSignals(isSettled: false)]
        let drivers = try (0..<2).map {
            try driver($0, map, view, control, signals: signals[$0])
        }
        var queues = SteppedDevices(map, view)
        func step(_ rounds: Int) {
            for _ in 0..<rounds {
                for driver in drivers { _ = driver.step(Moment(now: 1)) }
                queues.serve()
            }
        }
        step(20)
        #expect(!control.isMeasuring)
        signals[0].isSettled.store(true, ordering: .releasing)
        step(20)
        #expect(!control.isMeasuring)
        let warm = queues.served
        signals[1].isSettled.store(true, ordering: .releasing)
        step(20)
        #expect(control.isMeasuring && control.driversAreDone)
        for index in 0..<2 {
            let first = signals[index].measuresFrom.load(ordering: .acquiring)
            #expect(first == .max || first > UInt64(warm[index]))
        }
        let measured = (0..<2).map { index -> Int in
            let first = signals[index].measuresFrom.load(ordering: .acquiring)
            return first == .max ? 0 : Int(drivers[index].generation - first + 1)
        }
        #expect(measured.reduce(0, +) == 3)
    }

    /// A warm-up that leads nowhere ends all the same.
    @Test func measuresAfterTheLongestWarmUp() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let control = TurnControl(operations: 1, isExact: true, warmUp: 1000)
        let signals = TestSignals(isSettled: false)
        let driver = try driver(0, map, view, control, signals: signals)
        var queues = SteppedDevices(map, view)
        for now in stride(from: UInt64(1), to: 3000, by: 100) {
            _ = driver.step(Moment(now: now))
            queues.serve()
        }
        #expect(control.driversAreDone)
        #expect(signals.measuresFrom.load(ordering: .relaxed) != .max)
    }

    /// A request that is refused is made up for.
    @Test func refusedRequestsAreMadeUpFor() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let control = TurnControl(operations: 5, isExact: true)
        let driver = try driver(0, map, view, control)
        var queues = SteppedDevices(map, view)
        queues.fails = { $0 % 3 == 0 }
        for _ in 0..<100 {
            _ = driver.step(Moment(now: 1))
            queues.serve()
        }
        #expect(control.driversAreDone)
        // Of 1, 2, ... 7 the third and the sixth failed.
        #expect(driver.generation == 7)
        #expect(driver.lastCompleted == [7])
    }

    /// The status says that a request failed; why, and so whether that is a reason to give up, the device tells beside it.
    @Test(arguments: [
        (RequestOutcome.overLimit, 20), (.ioError, 20), (.privatePage, 0),
        (.conversionInProgress, 0),
    ])
    func countsFailuresForWantOfRoom(failure: RequestOutcome, count: Int) throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let signals = TestSignals()
        signals.failure.store(failure.rawValue, ordering: .releasing)
        let driver = try driver(0, map, view, TurnControl(), signals: signals)
        var queues = SteppedDevices(map, view)
        queues.fails = { $0 <= 20 }
        for _ in 0..<20 {
            _ = driver.step(Moment(now: 1))
            queues.serve()
            _ = driver.step(Moment(now: 1))
        }
        #expect(driver.generation == 21 && driver.failuresInARow == count)
        queues.serve()
        _ = driver.step(Moment(now: 1))
        #expect(driver.failuresInARow == 0)
    }

    /// Both sides sleep whenever there is nothing to do, and neither sleeps through a notification.
    @Test func losesNoNotification() throws {
        let map = try smallMap(devices: 2)
        let view = try memory(of: map)
        let (kicks, interrupt) = ([try Event(), try Event()], try Event())
        let control = TurnControl(operations: 2000, devices: 2)
        let drivers = try (0..<2).map { index in
            let kick = kicks[index]
            return try driver(
                index, map, view, control, signals: TestSignals(kick: { kick.notify() }),
                listens: true)
        }
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
        VCPU(
            drivers, clock: testClock, control: control, idling: .sleep { _ in interrupt.wait() }
        ).run()
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

    @Test func returnsWhereItIsAbandoned() throws {
        let map = try smallMap(devices: 2)
        let view = try memory(of: map)
        let control = TurnControl(devices: 2)
        let drivers = try (0..<2).map { try driver($0, map, view, control) }
        var turns = 0
        let clock = ScriptedProgram { _ in
            turns += 1
            if turns == 100 { control.abandon() }
            return .worked
        }
        VCPU(drivers + [clock], clock: testClock, control: control, idling: .poll).run()
        // Nobody has answered: each device was asked once.
        #expect(drivers.allSatisfy { $0.generation == 1 })
    }

    /// What is in flight when the turn is to end is waited for.
    @Test func waitsForWhatIsInFlight() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let control = TurnControl()
        let driver = try driver(0, map, view, control)
        var queues = SteppedDevices(map, view)
        #expect(driver.step(Moment(now: 1)) == .worked)
        control.end()
        for _ in 0..<10 { #expect(driver.step(Moment(now: 1)) == .idle(until: .max)) }
        #expect(!control.driversAreDone)
        queues.serve()
        #expect(driver.step(Moment(now: 1)) == .done)
        #expect(driver.step(Moment(now: 1)) == .done)
        #expect(control.driversAreDone)
    }

    @Test func doesNotBelieveADeviceThatIsAheadOfItself() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let control = TurnControl()
        let driver = try driver(0, map, view, control)
        let used = view.pointer(to: map.queueAreas[0]) + map.queueLayout.usedRingOffset
        used.storeBytes(of: 5, toByteOffset: 2, as: UInt16.self)
        VCPU([driver], clock: testClock, control: control, idling: .poll).run()
        #expect(control.deviceError == .usedIndexRanAhead(by: 5, outstanding: 1))
    }

    @Test func doesNotBelieveADeviceThatNamesAnotherRequest() throws {
        let map = try smallMap(devices: 1)
        let view = try memory(of: map)
        let control = TurnControl()
        let driver = try driver(0, map, view, control)
        let used = view.pointer(to: map.queueAreas[0]) + map.queueLayout.usedRingOffset
        used.storeBytes(of: 3, toByteOffset: 4, as: UInt32.self)
        used.storeBytes(of: 1, toByteOffset: 2, as: UInt16.self)
        VCPU([driver], clock: testClock, control: control, idling: .poll).run()
        #expect(control.deviceError == .notOutstanding(head: 3))
    }

    @Test func sharesInOrderAndStopsAtTheFirstRefusal() throws {
        let map = try smallMap(devices: 2)
        let ranges = map.queueAreas + map.buffers.flatMap(\.ranges)
        let willing = RecordingHypervisor()
        #expect(willing.share(ranges) == nil)
        #expect(willing.calls.map(\.range) == ranges)
        #expect(willing.calls.allSatisfy { !$0.toPrivate })

        let other = RecordingHypervisor(shared: [ranges[3]])
        #expect(other.share(ranges) == .refused(ranges[3].start))
        #expect(other.calls.count == 4)
    }

    /// A range of a terabyte goes in parts, and somebody may want it to stop.
    @Test func sharesLargeRangesInParts() {
        let range = PageRange(start: 5, count: 3 * pagesPerGiB + 7)
        let hypervisor = RecordingHypervisorOfRanges()
        #expect(hypervisor.share([range]) == nil)
        #expect(
            hypervisor.ranges.map(\.count.rawValue) == [pagesPerGiB, pagesPerGiB, pagesPerGiB, 7])
        #expect(hypervisor.ranges.first?.start == range.start)
        #expect(hypervisor.share([range], shouldStop: { hypervisor.ranges.count == 6 }) == nil)
        #expect(hypervisor.ranges.count == 6)
    }
}

/// Grants everything, and keeps no book of single pages.
private final class RecordingHypervisorOfRanges: Hypercalls {
    private(set) var ranges: [PageRange] = []

    func begin(
        _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
    ) -> PageStateChange? { changePageState(range, toPrivate: toPrivate, due: due) }
    func poll(at moment: Moment) -> PageStateChange? { nil }
    func abandon() {}
    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        ranges.append(range)
        return .done
    }
}

/// The devices' sides of all queues, a request each time they are told to.
private struct SteppedDevices: ~Copyable {
    private let queues: [QueueEnd]
    /// How many requests each has completed.
    private(set) var served: [Int]
    /// Which requests fail, by their generation.
    var fails: (UInt64) -> Bool = { _ in false }

    init(_ map: MemoryMap, _ view: GuestView) {
        queues = map.buffers.indices.map { QueueEnd(map, $0, in: view) }
        served = map.buffers.map { _ in 0 }
    }

    mutating func serve() {
        for (index, end) in queues.enumerated() {
            guard case .valid = end.next() else { continue }
            end.complete(fails(end.request.sector) ? .ioError : .ok)
            served[index] += 1
        }
    }
}
