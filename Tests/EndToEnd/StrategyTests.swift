import Glibc
import Testing

extension EndToEnd {
    /// Every strategy there is, and the oracle that watches them.
    @Suite struct StrategyTests {
        @Test func allHaveTheirTurnInEveryRound() throws {
            let strategies = try listedStrategies()
            let names = strategies.map(\.name)
            let rows = try rows(
                "--size", "4M", "--strategy", "all", "--rounds", "2", "--ops", "20")
            #expect(rows.count == 2 * names.count)
            for row in rows {
                let listed = try #require(strategies.first { $0.name == row.strategy })
                #expect(listed.isSafe == row.isSafe)
                // What the machine lacks, the row says; only what needs something may lack it.
                if row["status"].hasPrefix("unavailable:") {
                    #expect(listed.isDemanding)
                    continue
                }
                expectGood(row)
                #expect(row["size_bytes"] == "4194304" && row["chunk_bytes"] == "4194304")
                #expect(try row.count("ops") >= 20 && row["splits"] == "0")
                for column in ["pin", "write", "unpin", "dma"] {
                    let (half, most) = ("\(column)_ns_p50", "\(column)_ns_p99")
                    #expect(try row.number(half) <= row.number(most))
                }
                #expect(try (0...1).contains(row.number("sync_share")))
                #expect(try row.number("pair_hot_ns") > 0)
            }
            #expect(Set(rows.map { $0["run"] }).count == 1)
            #expect(Set(rows.map { $0["env"] }).count == 1)
            let rounds = ["1", "2"].map { round in rows.filter { $0["round"] == round } }
            for round in rounds {
                #expect(round.map { $0["position"] } == (1...names.count).map(String.init))
                #expect(Set(round.map(\.strategy)) == Set(names))
            }
            // In each place of the second round is the one that follows in the list.
            let next = Dictionary(uniqueKeysWithValues: zip(names, names[1...] + names[..<1]))
            #expect(rounds[1].map(\.strategy) == rounds[0].map { next[$0.strategy] })
        }

        /// The broken ones are shipped to be caught: each is, sooner or later, and the run says so in its rows alone.
        @Test func brokenOnesAreCaught() throws {
            let broken = Set(try listedStrategies().filter { !$0.isSafe }.map(\.name))
            #expect(broken.count >= 3)
            var left = broken
            for attempt in 1...200 where !left.isEmpty {
                // All of them once, and then those that got away.
                let strategies = attempt == 1 ? "unsafe" : left.sorted().joined(separator: ",")
                let rows = try rows(
                    "--size", "64M", "--strategy", strategies, "--convert-rate", "20000",
                    "--rounds", "1", "--seconds", "0.3",
                    attempt == 1 ? "--convert-pages=1" : "--convert-where=inside")
                #expect(attempt > 1 || Set(rows.map(\.strategy)) == broken)
                for row in rows {
                    #expect(row["convert_where"] == "inside" && row["status"] == "ok")
                    if try row.count("violations_private") + row.count("violations_stale") > 0 {
                        left.remove(row.strategy)
                    }
                }
            }
            #expect(left.isEmpty)
        }

        /// A page may not be converted under a read either: without a lock the ledger finds that it was, with one never.
        @Test func readsAreHeldToo() throws {
            var isCaught = false
            for _ in 1...50 where !isCaught {
                let rows = try rows(
                    "--size", "64M", "--strategy", "none,rangetree,slots", "--direction", "read",
                    "--convert-rate", "20000", "--convert-where", "inside", "--rounds", "1",
                    "--seconds", "0.3")
                for row in rows {
                    #expect(row["status"] == "ok" && row["violations_private"] == "")
                    if row.isSafe { #expect(row["violations_stale"] == "0") }
                    if row.strategy == "none", try row.count("violations_stale") > 0 {
                        isCaught = true
                    }
                }
            }
            #expect(isCaught)
        }

        /// Pages that the guest gives back are held by pins just the same; without one, writes land after the free.
        @Test func freedPagesAreHeldToo() throws {
            var isCaught = false
            for _ in 1...10 where !isCaught {
                let rows = try rows(
                    "--size", "64M", "--strategy", "none,rangetree,perpage", "--convert-to", "free",
                    "--convert-rate", "5000", "--convert-where", "inside", "--rounds", "1",
                    "--seconds", "0.2")
                for row in rows {
                    expectGood(row)
                    #expect(row["convert_to"] == "free")
                    if !row.isSafe { isCaught = try row.count("violations_private") > 0 }
                }
            }
            #expect(isCaught)
        }

        /// Every strategy frees pages outside the buffers, where no device is: nobody has written to them then.
        @Test func freedPagesNobodyTouchesStayFree() throws {
            let rows = try rows(
                "--size", "4M", "--strategy", "all", "--convert-to", "free", "--convert-rate",
                "5000", "--rounds", "1", "--seconds", "0.05")
            for row in rows where !row["status"].hasPrefix("unavailable:") {
                expectGood(row)
                #expect(row["violations_private"] == "0", "\(row.strategy)")
            }
        }

        /// The device's writes to converted pages land where nobody reads: lost, and no violation.
        @Test func framesOfTheirOwnLoseWhatIsWritten() throws {
            var isLost = false
            for _ in 1...10 where !isLost {
                for place in ["inside", "mixed"] {
                    let row = try #require(
                        rows(
                            "--size", "64M", "--strategy", "dual", "--convert-rate", "5000",
                            "--convert-where", place, "--rounds", "1", "--seconds", "0.2"
                        ).first)
                    expectGood(row)
                    #expect(row["conversions_denied"] == "0")
                    if try row.count("lost_bytes") > 0 { isLost = true }
                }
            }
            #expect(isLost)
        }

        /// A process that may lock 64 KiB of memory, and has no capability to do so all the same.
        private static let withoutLocking =
            ["prlimit", "--memlock=65536:65536"]
            + (getuid() == 0 ? ["setpriv", "--bounding-set=-ipc_lock"] : [])
        private static let missingRight =
            "the limit on locked memory (ulimit -l) is 64K, 4M are needed; raise it to 4096 KiB or more: "
            + "memlock in /etc/security/limits.conf, LimitMEMLOCK= of a service, --ulimit memlock= of a "
            + "container; or run as root"

        @Test func whatIsMissingIsARowAmongOthers() throws {
            let outcome = try Run(
                [
                    "--size", "4M", "--strategy", "kernelpin,rangetree", "--rounds", "2", "--ops",
                    "4",
                ], through: Self.withoutLocking
            ).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            #expect(rows.count == 4)
            for row in rows where row.strategy == "rangetree" { expectGood(row) }
            for row in rows where row.strategy == "kernelpin" {
                #expect(row["status"] == "unavailable:" + Self.missingRight)
                #expect(row["ops"] == "" && row["pin_ns_p50"] == "")
            }
        }

        @Test func whatIsMissingAloneEndsTheRun() throws {
            let outcome = try Run(
                ["--size", "4M", "--strategy", "kernelpin"], through: Self.withoutLocking
            ).finish()
            #expect(outcome.end == .exited(69) && outcome.output == "")
            #expect(
                outcome.errors == "dma-bench: --strategy kernelpin: \(Self.missingRight)\n")
        }

        /// Without a lock private pages are written, and the oracle sees it; with one they are not. Whether a
        /// conversion hits a write is chance: a few runs may be needed to see it.
        @Test func oracleIsAwake() throws {
            var caught: Set<String> = []
            var isDenied = false
            for _ in 1...10 where caught.count < 2 || !isDenied {
                let rows = try rows(
                    "--size", "64M", "--strategy", "none,perpage,rangetree,longlived",
                    "--convert-rate", "5000", "--convert-where", "mixed", "--rounds", "1",
                    "--seconds", "0.1")
                for row in rows {
                    expectGood(row)
                    #expect(row.isSafe == (row.strategy != "none"))
                    if try row.count("conversions") > 0 {
                        #expect(try row.number("convert_ns_p50") <= row.number("convert_ns_p99"))
                        #expect(try row.number("convert_ns_p99") <= row.number("convert_ns_max"))
                    }
                    let denied = try row.count("conversions_denied")
                    if row.isSafe {
                        isDenied = isDenied || denied > 0
                    } else {
                        // Nobody holds anything that could deny.
                        #expect(denied == 0)
                        let halves = ["violations_private", "violations_stale"]
                        caught.formUnion(try halves.filter { try row.count($0) > 0 })
                    }
                }
            }
            #expect(caught.count == 2, "half the oracle slept through ten runs without a lock")
            #expect(isDenied, "no conversion of ten runs met a pin")
        }

        @Test func waitingConversionsAreCarriedOut() throws {
            var waited = 0
            for _ in 1...10 where waited == 0 {
                for row in try rows(
                    "--size", "64M", "--strategy", "perpage,rangetree", "--policy", "wait",
                    "--convert-rate", "2000", "--convert-where", "inside", "--rounds", "1",
                    "--seconds", "0.1")
                {
                    expectGood(row)
                    #expect(row["policy"] == "wait" && row["conversions_revoked"] == "0")
                    waited += try row.count("conversions_waited")
                    #expect(try row.count("conversions_waited") <= row.count("conversions"))
                }
            }
            #expect(waited > 0)
        }

        @Test(arguments: ["poll", "eventfd"])
        func longLivedPinsAreRevoked(notify: String) throws {
            let rows = try rows(
                "--size", "16M", "--strategy", "longlived", "--policy", "revoke",
                "--convert-rate", "500", "--convert-where", "inside", "--rounds", "1", "--ops",
                "100", "--notify", notify)
            for row in rows {
                expectGood(row)
                #expect(try row.count("conversions_revoked") > 0)
            }
        }
    }
}
