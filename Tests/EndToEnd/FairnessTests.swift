import Testing

extension EndToEnd {
    /// Who waits for whom, and for how long, as the rows tell it.
    @Suite struct FairnessTests {
        private func rows(_ arguments: String...) throws -> [ResultRow] {
            let brief = [
                "--size", "64K", "--convert-where", "inside", "--rounds", "1", "--seconds", "0.1",
            ]
            let outcome = try Run(brief + arguments).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            for row in rows { expectGood(row) }
            return rows
        }

        /// A registration is there from set-up on, so the guest never gets a page of the buffer.
        @Test func aGuestThatIsDeniedForEverShows() throws {
            let rows = try rows(
                "--strategy", "longlived", "--policy", "deny", "--convert-rate", "1000")
            for row in rows {
                #expect(row["conversions"] == "0" && row["denied_share"] == "1")
                #expect(try row.number("denied_ns_max") > 0)
                #expect(row["convert_wait_ns_max"] == "" && row["pin_wait_ns_max"] == "")
            }
        }

        @Test func aWaitThatEndsInADenialShows() throws {
            let rows = try rows(
                "--strategy", "longlived", "--policy", "wait,revoke", "--convert-rate", "1000")
            #expect(rows.count == 2)
            let (wait, revoke) = (rows[0], rows[1])
            #expect(try wait.count("conversions_denied") > 0 && wait["conversions"] == "0")
            #expect(try wait.number("convert_wait_ns_max") > 0)
            #expect(try revoke.count("conversions_revoked") > 0)
            #expect(try revoke.number("convert_wait_ns_max") > 0)
        }

        /// One after the other: the row says so, and has no rate.
        @Test func aClosedLoopIsNamed() throws {
            let rows = try rows(
                "--strategy", "none,rangetree", "--convert-rate", "0,500,max", "--seconds", "0.1")
            let loops = rows.map { "\($0["convert_rate_hz"]) \($0["convert_loop"])" }
            #expect(Set(loops) == ["0 ", "500 open", " closed"] && rows.count == 6)
            for row in rows where row["convert_loop"] == "closed" {
                let (done, denied) = (
                    try row.count("conversions"), try row.count("conversions_denied")
                )
                #expect(done + denied > 1)
                #expect(
                    try row.number("denied_share") == Double(denied) / Double(done + denied))
            }
            for row in rows where row["convert_loop"] == "" {
                #expect(row["denied_share"] == "" && row["denied_ns_max"] == "")
            }
            // Nothing of `none` is ever in a conversion's way, nor the other way round.
            for row in rows where row.strategy == "none" {
                #expect(row["denied_ns_max"] == "" && row["pin_wait_ns_max"] == "")
            }
        }
    }
}
