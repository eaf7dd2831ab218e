import DmaLinux
import GuestMemory
import Testing
import Virtqueue

@Suite struct NotificationTests {
    private func queue() throws -> (GuestView, VirtqueueLayout) {
        (
            try guestMemory(pages: 64),
            try VirtqueueLayout(queueSize: 8, requests: 2, dataDescriptors: 6)
        )
    }

    @Test func bothSidesStartWithNotifications() throws {
        let (view, layout) = try queue()
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        guest.store(UInt16(1), at: layout.availableRingOffset)
        guest.store(UInt16(1), at: layout.usedRingOffset)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        let (toDevice, toDriver) = (
            driver.deviceWantsNotification(), device.queue.driverWantsNotification()
        )
        #expect(toDevice && toDriver)
    }

    @Test func deviceSuppresses() throws {
        let (view, layout) = try queue()
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        device.queue.suppressNotifications()
        // VIRTQ_USED_F_NO_NOTIFY
        #expect(guest.load(UInt16.self, at: layout.usedRingOffset) == 1)
        let wanted = driver.deviceWantsNotification()
        #expect(!wanted)

        let idle = device.queue.enableNotifications()
        #expect(!idle)
        #expect(guest.load(UInt16.self, at: layout.usedRingOffset) == 0)
        let wantedAgain = driver.deviceWantsNotification()
        #expect(wantedAgain)

        // A request that came in while nobody was to be told must be seen before the device sleeps.
        device.queue.suppressNotifications()
        try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
        let isAvailable = device.queue.enableNotifications()
        #expect(isAvailable)
        #expect(device.next() == .valid)
        let isAvailableStill = device.queue.enableNotifications()
        #expect(!isAvailableStill)
    }

    @Test func driverSuppresses() throws {
        let (view, layout) = try queue()
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        driver.suppressNotifications()
        // VIRTQ_AVAIL_F_NO_INTERRUPT
        #expect(guest.load(UInt16.self, at: layout.availableRingOffset) == 1)
        let wanted = device.queue.driverWantsNotification()
        #expect(!wanted)

        try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
        let idle = driver.enableNotifications()
        #expect(!idle)
        driver.suppressNotifications()
        #expect(device.next() == .valid)
        device.complete()
        let isCompleted = driver.enableNotifications()
        #expect(isCompleted)
        let wantedAgain = device.queue.driverWantsNotification()
        #expect(wantedAgain)
        _ = try driver.poll()
        let isCompletedStill = driver.enableNotifications()
        #expect(!isCompletedStill)
    }

    /// Asking whether to notify must not change what is published.
    @Test func askingPublishesNothing() throws {
        let (view, layout) = try queue()
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
        _ = driver.deviceWantsNotification()
        #expect(device.next() == .valid)
        #expect(device.next() == .empty)
        device.complete()
        _ = device.queue.driverWantsNotification()
        #expect(try driver.poll() != nil)
        #expect(try driver.poll() == nil)
    }

    // MARK: By index (VIRTIO_F_EVENT_IDX: 2.7.7.1, 2.7.10.1)

    /// Every index that the driver may wait for, every index used until then, across the wrap: told exactly where the one
    /// is among those completed since it was asked last.
    @Test func theDriverIsToldOfTheIndexThatItWaitsFor() throws {
        let (view, layout) = try queue()
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        guest.setChain(guest.validChain(pages: [20]))
        let rings = layout.rings(at: GFN(0), usesEventIndex: true)
        let event = layout.availableRingOffset + 4 + 2 * layout.queueSize
        for start in [UInt16(0), 3, 0xfffc] {
            for done in 0...6 as ClosedRange<UInt16> {
                for distance in -3...9 as ClosedRange<Int16> {
                    var device = try Device(
                        rings, registered: [layout.area(at: GFN(0))], in: view, available: start,
                        used: start)
                    // Nobody knows of what the driver was told before.
                    let first = device.queue.driverWantsNotification()
                    #expect(first)
                    for number in 0..<done {
                        guest.publish(head: 0, index: start &+ number)
                        #expect(device.next() == .valid)
                        device.complete()
                    }
                    guest.store(start &+ UInt16(bitPattern: distance), at: event)
                    let isTold = device.queue.driverWantsNotification()
                    #expect(
                        isTold == (0..<Int(done)).contains(Int(distance)),
                        "\(done) from \(start), waiting for \(distance)")
                    let isToldAgain = device.queue.driverWantsNotification()
                    #expect(!isToldAgain)
                }
            }
        }
    }

    /// The device writes which index it waits for, and its flag stays clear; the driver obeys, and does the same.
    @Test func eachSideWaitsForAnIndex() throws {
        let (view, layout) = try queue()
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view, usesEventIndex: true)
        var device = Device(layout, at: GFN(0), in: view, usesEventIndex: true)
        let availableEvent = layout.usedRingOffset + 4 + 8 * layout.queueSize
        let usedEvent = layout.availableRingOffset + 4 + 2 * layout.queueSize
        _ = driver.deviceWantsNotification()
        for round in 0..<3 as Range<UInt16> {
            let isIdle = device.queue.enableNotifications()
            #expect(!isIdle)
            #expect(guest.load(UInt16.self, at: availableEvent) == round)
            try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
            let isTold = driver.deviceWantsNotification()
            #expect(isTold)
            #expect(device.next() == .valid)
            device.queue.suppressNotifications()
            #expect(guest.load(UInt16.self, at: layout.usedRingOffset) == 0)
            let isToldAgain = driver.deviceWantsNotification()
            #expect(!isToldAgain)

            let hasMore = driver.enableNotifications()
            #expect(!hasMore)
            #expect(guest.load(UInt16.self, at: usedEvent) == round)
            device.complete()
            let isCalled = device.queue.driverWantsNotification()
            #expect(isCalled)
            #expect(try driver.poll() != nil)
            driver.suppressNotifications()
            #expect(guest.load(UInt16.self, at: layout.availableRingOffset) == 0)
        }
    }

    /// Two threads that sleep whenever they find nothing: a notification lost would leave both
    /// asleep.
    @Test(arguments: [false, true])
    func noWakeUpIsLost(usesEventIndex: Bool) throws {
        let (view, layout) = try queue()
        let toDevice = try Event()
        let toDriver = try Event()
        let rounds: UInt64 = 20_000
        var driver = DriverQueue(
            layout, at: GFN(0), in: view, usesEventIndex: usesEventIndex)
        let worker = try WorkerThread(name: "device") {
            var device = Device(
                layout, at: GFN(0), in: view, usesEventIndex: usesEventIndex)
            var served: UInt64 = 0
            while served < rounds {
                device.queue.suppressNotifications()
                while device.next() == .valid {
                    served += 1
                    device.complete()
                    if device.queue.driverWantsNotification() { toDriver.notify() }
                }
                if served < rounds, !device.queue.enableNotifications() { toDevice.wait() }
            }
        }
        let request = try driver.prepare(data: [PageRange(start: 20, count: 1)])
        for generation in 1...rounds {
            driver.submit(request, generation: generation)
            if driver.deviceWantsNotification() { toDevice.notify() }
            while true {
                driver.suppressNotifications()
                if let completion = try driver.poll() {
                    #expect(completion.generation == generation)
                    break
                }
                if !driver.enableNotifications() { toDriver.wait() }
            }
        }
        worker.join()
    }
}

/// An eventfd that two threads share.
private final class Event: Sendable {
    private let descriptor: FileDescriptor

    init() throws { descriptor = try FileDescriptor.event() }

    func notify() { descriptor.notify() }

    /// The minute only turns a test that would hang into one that fails.
    func wait() {
        if !descriptor.waitNotified(timeoutMilliseconds: 60_000) {
            Issue.record("asleep for a minute")
        }
    }
}
