import Testing

extension EndToEnd {
    /// Pages that are converted under a write, where the devices' page tables stop it.
    @Suite(
        .enabled("this machine cannot write-protect shared memory (userfaultfd)") {
            try run("--size", "4K", "--strategy", "fault", "--rounds", "1", "--ops", "1").status
                != 69
        })
    struct FaultTests {
        private func rows(_ arguments: String...) throws -> [ResultRow] {
            let outcome = try Run(
                [
                    "--size", "64M", "--convert-rate", "5000", "--convert-where", "inside",
                    "--rounds", "1", "--seconds", "0.2",
                ] + arguments
            ).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            return try Rows(csv: outcome.output).rows
        }

        /// Whether a conversion hits a write is chance: a few runs may be needed to see a fault.
        @Test(arguments: ["abort", "retry", "convert-back"])
        func stopTheWriteAndNothingIsWritten(policy: String) throws {
            var hasFaulted = false
            for _ in 1...10 where !hasFaulted {
                let row = try #require(
                    rows("--strategy", "fault", "--on-fault", policy, "--lanes", "2").first)
                expectGood(row)
                #expect(row["on_fault"] == policy)
                #expect(row["violations_private"] == "0" && row["violations_stale"] == "0")
                let faults = try row.count("faults")
                guard faults > 0 else { continue }
                hasFaulted = try policy != "convert-back" || row.count("surprises") > 0
                #expect(try row.number("recovery_ns_mean") <= row.number("recovery_ns_max"))
                #expect(try policy != "abort" || row.count("refused") > 0)
                #expect(try policy != "abort" || row.count("lost_bytes") > 0)
                #expect(try policy == "convert-back" || row.count("surprises") == 0)
            }
            #expect(hasFaulted)
        }

        /// The store of an unsafe strategy is stopped, and counts as if it had landed; a pin leaves nothing to stop.
        @Test func enforcementCatchesTheStoreItself() throws {
            var isCaught = false
            for _ in 1...10 where !isCaught {
                let rows = try rows("--strategy", "none,rangetree,perpage", "--enforce", "mmu")
                for row in rows {
                    expectGood(row)
                    #expect(row["enforce"] == "mmu" && row["on_fault"] == "")
                    let faults = try row.count("faults")
                    if row.isSafe {
                        #expect(faults == 0 && row["violations_private"] == "0")
                    } else if faults > 0 {
                        isCaught = true
                        #expect(try row.count("violations_private") >= faults)
                    }
                }
            }
            #expect(isCaught)
        }
    }
}
