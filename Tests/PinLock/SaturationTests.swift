import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

/// The largest of everything, for every strategy: device numbers, frame numbers, and what each structure has room for.
@Suite struct SaturationTests {
    /// Each of the 64 devices is seen by conversions, alone and among all others.
    @Test(arguments: Candidate.safe)
    func everyDeviceNumberCounts(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let count = UInt64(Arena.deviceCapacity)
            let strategy = try make(Strategy.self, pages: count, sharing: range(0..<count))
            let devices = (0..<Arena.deviceCapacity).map { strategy.pinner(for: DeviceID($0)) }
            for device in devices {
                let pin = try device.pin(page(5))
                #expect(strategy.refusalOfConversion(page(5), to: .private) == .pinned(GFN(5)))
                device.unpin(pin)
                try strategy.convert(page(5), to: .private)
                try strategy.convert(page(5), to: .shared)
            }
            let pins = try devices.enumerated().map { try $1.pin(page(UInt64($0))) }
            for number in 0..<count {
                #expect(
                    strategy.refusalOfConversion(range(number..<count), to: .private)
                        == .pinned(GFN(number)))
                devices[Int(number)].unpin(pins[Int(number)])
                try strategy.convert(page(number), to: .private)
            }
            #expect(strategy.arena.livePins == 0)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// The last frame of all is 2^32 - 1, and ranges end one behind it.
    @Test(arguments: Candidate.safe, [EntrySize.small, .large])
    func theEndOfTheLargestGuestIsLikeAnyOther(_ candidate: Candidate, entrySize: EntrySize) throws
    {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let end = PageRange.frameLimit
            let strategy = try make(
                Strategy.self, pages: end, entrySize: entrySize, sharing: range(end - 1024..<end))
            let device = strategy.pinner(for: DeviceID(0))
            for count in [1, 2, 5, 512, 600, 1024] as [UInt64] {
                let pin = try device.pin(range(end - count..<end))
                #expect(
                    strategy.refusalOfConversion(range(end - 1..<end), to: .private)
                        == .pinned(GFN(end - 1)))
                #expect(
                    strategy.refusalOfConversion(range(end - 1024..<end), to: .private) != nil)
                device.unpin(pin)
            }
            let before = GFN(end - 1025)
            #expect(refusalOfPin(range(before.rawValue..<end), by: device) == .privatePage(before))
            try strategy.convert(range(end - 1..<end), to: .private)
            #expect(refusalOfPin(range(end - 2..<end), by: device) == .privatePage(GFN(end - 1)))
            #expect(refusalOfPin(range(end - 1024..<end - 1), by: device) == nil)
            try strategy.convert(range(end - 1024..<end - 1), to: .private)
            #expect(strategy.arena.livePins == 0)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    @Test func noRangeReachesPastTheLastFrame() {
        let end = PageRange.frameLimit
        #expect(PageRange(checkingStart: end - 1, count: 1)?.upper == end)
        #expect(PageRange(checkingStart: 0, count: end)?.upper == end)
        for (start, count) in [
            (end - 1, 2), (end, 1), (1, end), (0, end + 1), (.max, 1), (1, .max), (.max, .max),
        ] as [(UInt64, UInt64)] {
            #expect(PageRange(checkingStart: start, count: count) == nil, "\(start), \(count)")
        }
    }

    /// With its slots taken a device counts in the tree, and that lane is full like any other's.
    @Test func fullSlotsAndAFullLaneRefusePins() throws {
        let strategy = try make(Slots.self, pages: 8, sharing: range(0..<8))
        let devices = [strategy.pinner(for: DeviceID(0)), strategy.pinner(for: DeviceID(1))]
        let (slots, lane) = (PublishedPins.capacity, 16_384)
        var pins = try (0..<slots + lane).map { _ in try devices[0].pin(page(3)) }
        #expect(refusalOfPin(page(3), by: devices[0]) == .tooManyPins(GFN(3)))
        #expect(refusalOfPin(page(2), by: devices[0]) == nil)
        // Another device has slots of its own.
        let others = try (0..<slots).map { _ in try devices[1].pin(page(3)) }
        #expect(refusalOfPin(page(3), by: devices[1]) == .tooManyPins(GFN(3)))
        #expect(strategy.refusalOfConversion(page(3), to: .private) == .pinned(GFN(3)))
        #expect(try strategy.audit() == nil)
        // A slot that comes free is used again, and so is the lane.
        for place in [0, slots] {
            devices[0].unpin(pins[place])
            pins[place] = try devices[0].pin(page(3))
            #expect(refusalOfPin(page(3), by: devices[0]) == .tooManyPins(GFN(3)))
        }
        for pin in others { devices[1].unpin(pin) }
        for pin in pins { devices[0].unpin(pin) }
        try strategy.convert(page(3), to: .private)
        #expect(try strategy.audit() == nil)
    }

    /// Each of two devices has as many pins as its journal has room for, on the same page: none is lost from sight.
    @Test(arguments: Candidate.safe)
    func fullJournalsOfSeveralDevicesAreAllSeen(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let pages: UInt64 = 8192
            let strategy = try make(Strategy.self, pages: pages, sharing: range(0..<pages))
            let devices = (0...1).map { strategy.pinner(for: DeviceID($0)) }
            var pins: [[Pin]] = [[], []]
            for (index, device) in devices.enumerated() {
                while let pin = try? device.pin(page(UInt64(pins[index].count) % pages)) {
                    pins[index].append(pin)
                }
                #expect(pins[index].count >= Journal.capacity)
            }
            #expect(strategy.arena.livePins == pins[0].count + pins[1].count)
            for (index, device) in devices.enumerated() {
                #expect(
                    strategy.refusalOfConversion(page(pages - 1), to: .private)
                        == .pinned(GFN(pages - 1)))
                for pin in pins[index] { device.unpin(pin) }
            }
            try strategy.convert(range(0..<pages), to: .private)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }
}
