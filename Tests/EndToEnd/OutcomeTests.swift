import Testing

extension EndToEnd {
    /// What comes of broken rules, as `dma-bench outcomes` shows it.
    @Suite(
        .enabled("this machine cannot write-protect shared memory (userfaultfd)") {
            try run("outcomes").status != 69
        })
    struct OutcomeTests {
        @Test func everySafeStrategyKeepsPrivatePagesWhole() throws {
            let outcome = try run("outcomes")
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let lines = outcome.output.split(separator: "\n").dropFirst()
            let safe = try run("strategies").output.matches(of: /(?m)^(\S+) \(safe\)$/)
            #expect(lines.map { $0.prefix { $0 != " " } } == safe.map(\.1))
            // What has no lock has nothing to refuse.
            let held = try rows(
                "--size", "4K", "--strategy", "safe", "--rounds", "1", "--ops", "1", "--no-write"
            ).filter { ["pins", "bounce"].contains($0["exclusion"]) }.map(\.strategy)
            for line in lines where !line.contains("unavailable:") {
                let pattern =
                    /^\S+ +(?<pin>refused|given) +SIGBUS, caught +Bad address +\S.* +stopped at GFN 0x0 +64 of 64 conversions +none$/
                let match = try #require(line.wholeMatch(of: pattern), "\(line)")
                let hasLock = held.contains { line.hasPrefix("\($0) ") }
                #expect(match.pin == (hasLock ? "refused" : "given"), "\(line)")
            }
        }
    }
}
