import Testing

@testable import VirtualDevice

@Suite struct ArrivalTests {
    /// A burst has one time, whenever its requests are taken; across the end of the index.
    @Test func aRequestArrivesWhenItIsFirstSeen() {
        var times = ArrivalTimes(queueSize: 4, from: 65533)
        times.note(from: 65533, before: 65535, at: 10)
        times.note(from: 65533, before: 65535, at: 20)
        #expect(times.arrival(of: 65533) == 10 && times.arrival(of: 65534) == 10)
        times.note(from: 65534, before: 1, at: 30)
        #expect(times.arrival(of: 65534) == 10)
        #expect(times.arrival(of: 65535) == 30 && times.arrival(of: 0) == 30)
        times.note(from: 65535, before: 2, at: 40)
        #expect(times.arrival(of: 0) == 30 && times.arrival(of: 1) == 40)
    }

    /// What is made available between the look and the taking has no time: neither none at all, nor that of the entry
    /// which had the place a ring's length before. And what comes behind it has its own.
    @Test func whatWasNeverSeenHasNoTime() {
        var times = ArrivalTimes(queueSize: 4, from: 0)
        times.note(from: 0, before: 0, at: 10)
        #expect(times.arrival(of: 0) == nil)
        // 0 has been taken unseen.
        times.note(from: 1, before: 3, at: 20)
        #expect(times.arrival(of: 1) == 20 && times.arrival(of: 2) == 20)
        #expect(times.arrival(of: 3) == nil)
        // 3 to 5 as well.
        #expect(times.arrival(of: 4) == nil && times.arrival(of: 5) == nil)
        times.note(from: 6, before: 8, at: 30)
        #expect(times.arrival(of: 6) == 30 && times.arrival(of: 7) == 30)
        #expect(times.arrival(of: 8) == nil)
    }

    /// A guest whose index goes back, or runs ahead, costs no more than a round through the queue.
    @Test func anIndexThatGoesBackSaysNothing() {
        var times = ArrivalTimes(queueSize: 4, from: 100)
        times.note(from: 100, before: 104, at: 10)
        times.note(from: 100, before: 99, at: 20)
        times.note(from: 100, before: 101, at: 20)
        times.note(from: 100, before: 105, at: 20)
        #expect(times.arrival(of: 100) == 10 && times.arrival(of: 103) == 10)
        times.note(from: 101, before: 105, at: 30)
        #expect(times.arrival(of: 104) == 30 && times.arrival(of: 101) == 10)
    }

    /// The largest queue, full at once: half of all indices are ahead.
    @Test(arguments: [0, 1, 40_000] as [UInt16])
    func theLargestQueueMayBeFull(_ start: UInt16) {
        var times = ArrivalTimes(queueSize: 32768, from: start)
        times.note(from: start, before: start &+ 32768, at: 10)
        for index in [0, 1, 32766, 32767] as [UInt16] {
            #expect(times.arrival(of: start &+ index) == 10)
        }
        times.note(from: start &+ 1, before: start &+ 32769, at: 20)
        #expect(times.arrival(of: start &+ 32768) == 20)
    }
}
