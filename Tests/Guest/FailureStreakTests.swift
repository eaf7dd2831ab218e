import Testing
import Virtqueue

@testable import Guest

@Suite struct FailureStreakTests {
    private static let long = FailureStreak.shortest + 2

    /// As many failures as it takes, over as long as it takes, without one success: or the turn goes on.
    @Test(arguments: [StatusCode.ioError, .overLimit])
    func endsATurnInWhichNothingSucceeds(code: StatusCode) {
        var streak = FailureStreak()
        for number in 1...FailureStreak.fewest {
            #expect(!streak.isEndless(at: Self.long))
            streak.note(code, at: UInt64(number))
        }
        #expect(!streak.isEndless(at: Self.long - 1))
        #expect(streak.isEndless(at: Self.long))
    }

    /// Neither a request that succeeds nor one that the guest has spoilt is part of it.
    @Test(arguments: [StatusCode.ok, .privatePage, .conversionInProgress, .badRequest, .writeFault])
    func endsWithAnyOtherRequest(code: StatusCode) {
        var streak = FailureStreak()
        for _ in 0..<FailureStreak.fewest { streak.note(.ioError, at: 1) }
        #expect(streak.isEndless(at: Self.long))
        streak.note(code, at: 2)
        #expect(!streak.isEndless(at: Self.long) && streak.count == 0)
    }
}
