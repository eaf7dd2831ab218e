import Testing

@testable import VirtualDevice

@Suite struct ArrivalTests {
    /// A burst has one time, whenever its requests are taken; across the end of the index.
    @Test func aRequestArrivesWhenItIsFirstSeen() {
        var times = ArrivalTimes(queueSize: 4, from: 65533)
        times.note(before: 65535, at: 10)
        times.note(before: 65535, at: 20)
        #expect(times[65533] == 10 && times[65534] == 10)
        times.note(before: 1, at: 30)
        #expect(times[65534] == 10 && times[65535] == 30 && times[0] == 30)
        times.note(before: 2, at: 40)
        #expect(times[0] == 30 && times[1] == 40)
    }

    /// A guest whose index goes back, or runs ahead, costs no more than a round through the queue.
    @Test func anIndexThatGoesBackSaysNothing() {
        var times = ArrivalTimes(queueSize: 4, from: 100)
        times.note(before: 104, at: 10)
        times.note(before: 99, at: 20)
        times.note(before: 101, at: 20)
        #expect(times[100] == 10 && times[103] == 10)
        times.note(before: 105, at: 30)
        #expect(times[104] == 30 && times[101] == 10)
    }
}
