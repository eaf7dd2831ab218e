import Telemetry
import Testing

@testable import Guest

@Suite struct FailureStreakTests {
    private static let long = FailureStreak.shortest + 2

    /// As many failures as it takes, over as long as it takes, without one success: or the turn goes on.
    @Test(arguments: [RequestOutcome.ioError, .overLimit])
    func endsATurnInWhichNothingSucceeds(outcome: RequestOutcome) {
        var streak = FailureStreak()
        for number in 1...FailureStreak.fewest {
            #expect(!streak.isEndless(at: Self.long))
            streak.note(outcome, at: UInt64(number))
        }
        #expect(!streak.isEndless(at: Self.long - 1))
        #expect(streak.isEndless(at: Self.long))
    }

    /// Neither a request that succeeds nor one that the guest has spoilt is part of it.
    @Test(arguments: [
        RequestOutcome.ok, .privatePage, .conversionInProgress, .badRequest, .writeFault,
    ])
    func endsWithAnyOtherRequest(outcome: RequestOutcome) {
        var streak = FailureStreak()
        for _ in 0..<FailureStreak.fewest { streak.note(.ioError, at: 1) }
        #expect(streak.isEndless(at: Self.long))
        streak.note(outcome, at: 2)
        #expect(!streak.isEndless(at: Self.long) && streak.count == 0)
    }
}
