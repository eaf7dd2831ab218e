import DmaLinux
import Testing

extension EndToEnd {
    /// Each way to ask for another measurement.
    @Suite struct OptionTests {
        /// Of short turns, each of twenty requests at least.
        private func rows(_ arguments: String...) throws -> [ResultRow] {
            let brief = ["--size", "4M", "--rounds", "1", "--ops", "20"]
            let outcome = try Run(brief + arguments).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            for row in rows {
                expectGood(row)
                #expect(try row.count("ops") >= 20)
            }
            return rows
        }

        /// A conversion of one page splits the large entry it lies in.
        @Test func largeEntriesAreSplit() throws {
            let rows = try rows(
                "--strategy", "perpage,rangetree", "--entry", "2M", "--convert-rate", "10000",
                "--ops", "200")
            #expect(rows.count == 2)
            for row in rows {
                #expect(row["entry_bytes"] == "2097152")
                #expect(try row.count("splits") > 0, "\(row.strategy)")
            }
        }

        @Test func eventDescriptorsReplacePolling() throws {
            #expect(try rows("--strategy", "none,longlived", "--notify", "eventfd").count == 2)
        }

        @Test func severalDevicesWorkAtOnce() throws {
            let directory = try TemporaryDirectory()
            let rows = try rows(
                "--strategy", "perpage,rangetree", "--devices", "2", "--raw",
                directory.file("raw.csv"))
            #expect(rows.map { $0["devices"] } == ["2", "2"])
            let raw = try Rows(csv: readFile(directory.file("raw.csv"))).rows
            for row in rows {
                let devices = raw.filter { $0.strategy == row.strategy }.map { $0["device"] }
                #expect(Set(devices) == ["0", "1"], "\(row.strategy)")
            }
        }

        /// Devices that write the same pages leave the data of one of them on each line; neighbours have a line of RMP
        /// entries in common.
        @Test(arguments: ["same", "adjacent", "disjoint"])
        func devicesMeetInPagesOrNot(buffers: String) throws {
            let rows = try rows(
                "--strategy", "perpage,rangetree,slots,epoch", "--devices", "3", "--buffers",
                buffers, "--convert-rate", "2000", "--convert-where", "mixed")
            #expect(rows.count == 4)
            for row in rows {
                #expect(row["buffers"] == buffers && row["shared_lines"] == "0")
                let shared = try row.count("shared_pages")
                #expect(shared == (buffers == "same" ? 2 * 1024 : 0))
            }
        }

        @Test func neighboursShareALine() throws {
            let rows = try rows(
                "--size", "4K", "--strategy", "perpage", "--devices", "3", "--buffers", "adjacent")
            #expect(rows[0]["shared_lines"] == "1" && rows[0]["shared_pages"] == "0")
        }

        /// What is asked for is in the row, and each request has its time; utilisation is what was measured.
        @Test func requestsFallDue() throws {
            let rows = try rows(
                "--size", "64K", "--strategy", "perpage,longlived", "--dma-rate", "500,2000",
                "--dma-arrivals", "fixed", "--depth", "4")
            #expect(rows.map { $0["dma_rate_hz"] } == ["500", "500", "2000", "2000"])
            for row in rows {
                #expect(row["dma_arrivals"] == "fixed" && row["depth"] == "4")
                #expect(try row.number("due_ns_p50") >= row.number("dma_ns_p50"))
                #expect(try row.number("due_ns_p99") >= row.number("due_ns_p50"))
                #expect(row["outside_share"] == "" && row["backlog_max"] != "")
                let busy = try row.number("device_busy")
                #expect(busy > 0 && busy <= 1)
            }
        }

        @Test func closedLoopsPauseOrKeepMoreInFlight() throws {
            for load in [["--idle", "1ms"], ["--depth", "3"]] {
                let row = try rows("--size", "64K", "--strategy", "slots", load[0], load[1])[0]
                #expect(row["dma_rate_hz"] == "" && row["dma_arrivals"] == "")
                #expect(row["backlog_max"] == "0" && row["due_ns_p50"] != "")
            }
            let usual = try rows("--size", "64K", "--strategy", "slots")[0]
            #expect(usual["due_ns_p50"] == "" && usual["backlog_max"] == "")
            #expect(usual["outside_share"] != "")
        }

        /// A device that reads pins as one that writes, and what it reads by is in the row.
        @Test func devicesReadAndWrite() throws {
            let rows = try rows(
                "--size", "256K", "--strategy", "perpage,bounce", "--direction",
                "write,read,mixed:50", "--engine", "stosq", "--read-engine", "copy")
            #expect(
                rows.map { $0["direction"] } == [
                    "write", "write", "read", "read", "mixed:50", "mixed:50",
                ])
            for row in rows {
                let writes = row["direction"] != "read"
                #expect(row["engine"] == (writes ? "stosq" : "none"))
                #expect(row["read_engine"] == (row["direction"] == "write" ? "" : "copy"))
                // Nobody overwrites a canary by reading.
                #expect(row["violations_private"] == (writes ? "0" : ""))
                #expect(try row.number("write_bytes_per_s") > 0)
                #expect((row["copy_ns_p50"] != "") == (row.strategy == "bounce"))
            }
        }

        @Test func scatterGatherListsAreWhole() throws {
            let rows = try rows("--strategy", "perpage,longlived", "--ranges", "64")
            #expect(rows.map { $0["ranges"] } == ["64", "64"])
            #expect(rows.map { $0["spread_bytes"] } == ["1073741824", "1073741824"])
        }

        @Test func requestsGoInChunks() throws {
            let rows = try rows("--strategy", "rangetree,longlived", "--chunk", "1M")
            #expect(rows.map { $0["chunk_bytes"] } == ["1048576", "1048576"])
        }

        @Test func everyEngineWrites() throws {
            let rows = try rows("--engine", "nt,stosq,memset,copy")
            #expect(rows.map { $0["engine"] } == ["nt", "stosq", "memset", "copy"])
            #expect(try rows.allSatisfy { try $0.number("write_bytes_per_s") > 0 })
        }

        @Test func severalLanesWrite() throws {
            #expect(try rows("--lanes", "2").map { $0["lanes"] } == ["2"])
        }

        @Test func withoutWritesOnlyTheLockIsMeasured() throws {
            for row in try rows("--strategy", "all", "--no-write", "--misalign", "1") {
                #expect(row["engine"] == "none" && row["misalign_bytes"] == "4096")
                for column in [
                    "write_ns_p50", "write_ns_p99", "write_ns_max", "sync_share",
                    "write_bytes_per_s",
                ] {
                    #expect(row[column] == "", "\(column)")
                }
                #expect(try row.number("pin_ns_p50") >= 0)
            }
        }

        /// A guest far larger than any memory that is touched for it.
        @Test func largeGuestsAreSparse() throws {
            let run = try Run([
                "--no-write", "--size", "2G", "--guest-memory", "1T", "--rounds", "1", "--ops",
                "20",
            ])
            var peak: UInt64 = 0
            while Processes.isAlive(run.pid) {
                peak = max(peak, Processes.status("VmHWM", of: run.pid).flatMap { UInt64($0) } ?? 0)
                sleep(until: .after(milliseconds: 5))
            }
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            for row in try Rows(csv: outcome.output).rows { expectGood(row) }
            #expect(peak > 0 && peak < 1 << 20, "\(peak) KiB of memory")
        }

        /// 2^32 pages: every table and tree is at its largest.
        @Test func theLargestGuestRuns() throws {
            let rows = try rows(
                "--no-write", "--size", "64K", "--guest-memory", "16T", "--strategy",
                "perpage,rangetree,slots,longlived", "--convert-where", "mixed")
            #expect(rows.count == 4)
        }

        /// A cap that just suffices changes nothing but the column.
        @Test func aCapOnPinsIsKept() throws {
            let rows = try rows(
                "--strategy", "all", "--pin-limit", "9M", "--devices", "2", "--convert-rate",
                "5000", "--convert-where", "mixed")
            #expect(rows.count == (try listedStrategies().count))
            for row in rows { #expect(row["pin_limit_bytes"] == "9437184") }
        }

        @Test func listsMultiply() throws {
            let rows = try rows(
                "--size", "4K..64K:x4", "--strategy", "none,rangetree", "--convert-rate", "0,100",
                "--no-write")
            let cells = rows.map {
                "\($0.strategy) \($0["size_bytes"]) \($0["convert_rate_hz"])"
            }
            #expect(cells.count == 12 && Set(cells).count == 12)
            for row in rows where row["convert_rate_hz"] == "0" {
                #expect(row["conversions"] == "" && row["convert_ns_p50"] == "")
            }
        }
    }
}
