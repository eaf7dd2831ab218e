import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A strategy of the registry under one of its policies.
struct Matchup: Sendable, CustomTestStringConvertible {
    let candidate: Candidate
    let policy: ConflictPolicy.Kind

    var testDescription: String { "\(candidate.testDescription), \(policy)" }

    static let safe = Candidate.safe.flatMap { candidate in
        candidate.type.info.policies.map { Matchup(candidate: candidate, policy: $0) }
    }
}

@Suite struct TrafficTests {
    /// Many ranges on few pages.
    @Test(arguments: Matchup.safe)
    func noPageIsEverPinnedAndPrivate(_ matchup: Matchup) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let traffic = Traffic(
                pins: everyRange(pages: 8), conversions: (0..<8).map(page) + [range(3..<5)],
                registrations: matchup.policy == .revoke ? [range(0..<3), range(4..<6)] : [],
                policy: matchup.policy, operations: 8000)
            let outcome = try traffic.run(on: strategy)
            #expect(outcome.violations == 0)
            #expect(outcome.pinned > 0 && outcome.converted > 0)
            #expect(try strategy.audit() == nil)
        }
        try check(matchup.candidate.type)
    }

    /// Pins of whole GiBs against conversions at the GiBs' borders.
    @Test(arguments: Matchup.safe)
    func acrossGiBs(_ matchup: Matchup) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let gib = pagesPerGiB
            let pages = 2 * gib + 6
            let strategy = try make(Strategy.self, pages: pages, sharing: range(0..<pages))
            var pins = [range(gib - 2..<gib + 2), range(gib - 4..<gib), range(gib..<gib + 8)]
            if !Strategy.isPagewise {
                pins += [
                    range(0..<2 * gib), range(0..<pages), range(gib..<2 * gib), range(1..<2 * gib),
                ]
            }
            let traffic = Traffic(
                pins: pins, conversions: (gib - 2..<gib + 2).map(page) + [page(0)],
                policy: matchup.policy, operations: 4000)
            let outcome = try traffic.run(on: strategy)
            #expect(outcome.violations == 0)
            #expect(outcome.pinned > 0 && outcome.converted > 0)
        }
        try check(matchup.candidate.type)
    }

    /// Whole 2 MiB entries that conversions split meanwhile: each only once, so many short lives.
    @Test(arguments: Candidate.safe)
    func splittingEntries(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            for seed in UInt64(1)...100 {
                let strategy = try make(
                    Strategy.self, pages: 1100, entrySize: .large, sharing: range(0..<1100))
                let traffic = Traffic(
                    pins: [
                        range(0..<1100), range(510..<514), page(512), page(700),
                        range(512..<1024), range(1000..<1030),
                    ],
                    conversions: [
                        page(512), range(512..<520), page(513), range(511..<513), range(0..<512),
                        page(1099), range(512..<1024),
                    ],
                    operations: 20, seed: seed)
                let outcome = try traffic.run(on: strategy)
                #expect(outcome.violations == 0, "seed \(seed)")
                // Neither a count nor a claim is left behind.
                for number in UInt64(0)..<1100
                where strategy.arena.table.state(of: GFN(number)) == .private {
                    try strategy.convert(page(number), to: .shared)
                }
                try strategy.convert(range(0..<1100), to: .private)
            }
        }
        try check(candidate.type)
    }
}
