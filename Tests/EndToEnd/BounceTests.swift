import Testing

extension EndToEnd {
    /// Requests that go through a pool, from which the guest copies.
    @Suite struct BounceTests {
        private func rows(_ arguments: String...) throws -> [ResultRow] {
            let brief = ["--size", "4M", "--rounds", "1", "--ops", "20"]
            let outcome = try Run(brief + arguments).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            for row in rows {
                expectGood(row)
                #expect(try row.count("ops") >= 20 && row["refused"] == "0")
            }
            return rows
        }

        /// What the row says is of whole requests, whatever the pieces.
        @Test(arguments: ["4K", "12K", "1M", "3M", "4M", "64M"])
        func rowsAreOfWholeRequests(pool: String) throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("raw.csv")
            let row = try #require(
                rows("--strategy", "bounce", "--pool", pool, "--raw", file).first)
            let bytes = ["4K": 4096, "12K": 12288, "1M": 1 << 20, "3M": 3 << 20]
            #expect(try row.count("pool_bytes") == bytes[pool] ?? 4 << 20)
            #expect(try row.number("copy_ns_p50") > 0)
            let raw = try Rows(csv: readFile(file)).rows
            #expect(try raw.count == row.count("ops"))
            #expect(raw.allSatisfy { $0["bytes"] == "4194304" && $0["status"] == "0" })
        }

        @Test func poolsAreForBounceAlone() throws {
            let rows = try rows("--strategy", "rangetree,bounce,longlived", "--pool", "1M")
            #expect(rows.count == 3)
            for row in rows {
                let isBounce = row.strategy == "bounce"
                #expect(row["pool_bytes"] == (isBounce ? "1048576" : ""))
                #expect(row["copy_ns_p50"].isEmpty == !isBounce)
            }
        }

        /// Lists whose ranges straddle pieces, several devices, and the other options of a request.
        @Test(arguments: [
            ["--ranges", "64", "--devices", "2"], ["--ranges", "4", "--misalign", "3"],
            ["--chunk", "96K"], ["--notify", "eventfd"], ["--lanes", "2", "--engine", "copy"],
            ["--entry", "2M"], ["--policy", "wait"],
        ])
        func everyRequestArrives(options: [String]) throws {
            let brief = ["--size", "4M", "--rounds", "1", "--ops", "20", "--strategy", "bounce"]
            let outcome = try Run(brief + ["--pool", "1000K"] + options).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            for row in try Rows(csv: outcome.output).rows { expectGood(row) }
        }

        /// The pool is pinned for good: nothing inside it is converted.
        @Test func conversionsInsideThePoolAreDenied() throws {
            for row in try rows(
                "--strategy", "bounce", "--pool", "1M", "--convert-where", "inside",
                "--convert-rate", "5000", "--ops", "200")
            {
                #expect(row["conversions"] == "0")
                #expect(try row.count("conversions_denied") > 0)
            }
        }

        /// The target is private: a device that wrote there would be stopped.
        @Test(
            .enabled("this machine cannot write-protect shared memory (userfaultfd)") {
                try run("--size", "4K", "--enforce", "mmu", "--rounds", "1", "--ops", "1").status
                    != 69
            })
        func noStoreIsStopped() throws {
            for row in try rows("--strategy", "bounce", "--pool", "1M", "--enforce", "mmu") {
                #expect(row["faults"] == "0")
            }
        }

        @Test func withoutWritesNothingIsCopied() throws {
            for row in try rows("--strategy", "bounce", "--pool", "1M", "--no-write") {
                #expect(row["copy_ns_p50"] == "" && row["pool_bytes"] == "1048576")
            }
        }

        /// Pool and target are both guest memory; without the strategy there is no pool.
        @Test func memoryIsForPoolAndTarget() throws {
            func memory(_ strategy: String, _ pool: String...) throws -> String {
                let outcome = try Run(
                    ["--dry-run", "--size", "4M", "--strategy", strategy] + pool
                ).finish()
                #expect(outcome.end == .exited(0) && outcome.errors == "")
                return String(try #require(outcome.output.split(separator: "\n").dropFirst().first))
            }
            #expect(try memory("rangetree") == "guest memory: 69644K, backing memfd")
            let both = try memory("rangetree,bounce", "--pool", "1M")
            #expect(both == "guest memory: 73740K, backing memfd")
            #expect(try memory("bounce", "--pool", "1M") == both)
        }
    }
}
