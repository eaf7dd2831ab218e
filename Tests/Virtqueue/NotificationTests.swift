import GuestMemory
import Linux
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
        let driver = DriverQueue(layout, at: GFN(0), in: view)
        let device = DeviceQueue(layout, at: GFN(0), in: view)
        let (toDevice, toDriver) = (
            driver.deviceWantsNotification(), device.driverWantsNotification()
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

    /// Two threads that sleep whenever they find nothing: a notification lost would leave both
    /// asleep.
    @Test func noWakeUpIsLost() throws {
        let (view, layout) = try queue()
        let toDevice = try Event()
        let toDriver = try Event()
        let rounds: UInt64 = 20_000
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        let worker = try WorkerThread(name: "device") {
            var device = Device(layout, at: GFN(0), in: view)
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
