import DmaLinux
import Glibc
import Testing

@testable import VhostUser

extension EndToEnd {
    /// `serve` with a VMM and a guest that the test plays.
    @Suite struct ServeTests {
        private static let (read, write): (UInt32, UInt32) = (0, 1)

        @Test(arguments: ["--strategy=rangetree", "--strategy=none", "--implicit"])
        func keepsWhatIsWritten(_ option: String) throws {
            let served = try Served("--store", "memory:1M", option)
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            for index in 0..<4 {
                let bytes = vmm.bytes(at: 0x10000, 8192)
                for place in bytes.indices {
                    bytes[place] = UInt8(truncatingIfNeeded: place / 3 + index)
                }
                let status = try vmm.ask(
                    Self.write, sector: UInt64(16 * index), at: 0x10000, byteCount: 8192)
                #expect(status == 0)
            }
            for index in 0..<4 {
                // Begins and ends within pages.
                let status = try vmm.ask(
                    Self.read, sector: UInt64(16 * index), at: 0x20200, byteCount: 8192)
                #expect(status == 0)
                let bytes = vmm.bytes(at: 0x20200, 8192)
                let isRight = bytes.indices.allSatisfy {
                    bytes[$0] == UInt8(truncatingIfNeeded: $0 / 3 + index)
                }
                #expect(isRight, "block \(index)")
            }
            // Behind the end, and no whole sectors.
            #expect(try vmm.ask(Self.read, sector: 2048, at: 0x20000, byteCount: 512) == 1)
            #expect(try vmm.ask(Self.write, sector: 2047, at: 0x20000, byteCount: 1024) == 1)
            #expect(try vmm.ask(Self.write, sector: .max, at: 0x20000, byteCount: 512) == 1)
            #expect(try vmm.ask(Self.read, sector: 0, at: 0x20000, byteCount: 100) == 1)
            #expect(try vmm.ask(77, sector: 0) == 2)
            #expect(try vmm.ask(4, sector: 0) == 0)
            vmm.hangUp()
            let row = try #require(try served.end().last)
            #expect(row["guest"] == "vhost-user" && row["store"] == "memory")
            // What disturbed it is told as of any turn: of the device, and of the converter's vCPU.
            for column in ["device_gap_share", "device_wait_share", "vcpu_gaps", "stops"] {
                #expect(row[column] != "", "\(column)")
            }
            #expect(row["ran_cpu"].split(separator: ";").count == 2, "\(row["ran_cpu"])")
            #expect(row["size_bytes"] == "" && row["ranges"] == "" && row["backing"] == "")
            #expect(try row.count("in_requests") == 4 && row.count("out_requests") == 4)
            #expect(try row.count("in_bytes") == 32768 && row.count("out_bytes") == 32768)
            #expect(row["leaked_pins"] == "0")
            if row.isSafe { #expect(row["violations_stale"] == "0") }
        }

        @Test func aFileIsTheDisk() throws {
            let directory = try TemporaryDirectory()
            let disk = directory.file("disk")
            try writeFile(disk, String(repeating: "x", count: 65536))
            let served = try Served("--store", "file:\(disk)")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            #expect(try vmm.ask(Self.read, sector: 8, at: 0x10000, byteCount: 4096) == 0)
            #expect(vmm.bytes(at: 0x10000, 4096).allSatisfy { $0 == UInt8(ascii: "x") })
            memset(vmm.bytes(at: 0x10000, 4096).baseAddress!, 0x79, 4096)
            #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            #expect(try vmm.ask(4, sector: 0) == 0)
            #expect(readFile(disk).prefix(4097) == String(repeating: "y", count: 4096) + "x")
            // The host has taken it away in the meantime.
            truncate(disk, 0)
            #expect(try vmm.ask(Self.read, sector: 8, at: 0x10000, byteCount: 4096) == 1)
            _ = try served.end()
        }

        @Test func strategiesTakeTurnsInBalancedOrder() throws {
            let served = try Served(
                "--store", "memory:1M", "--strategy", "safe", "--turn", "30ms")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            let isEnough = try served.sees(
                while: {
                    for slot in 0..<4 {
                        vmm.submit(
                            UInt32(slot & 1), sector: 8, at: 0x10000 + 4096 * UInt64(slot),
                            byteCount: 4096, slot: slot)
                    }
                    let isDone = vmm.isDone()
                    try #require(isDone)
                    for slot in 0..<4 { try #require(vmm.status(slot) == 0) }
                }, until: { rows in rows.contains { $0["round"] == "3" } })
            #expect(isEnough)
            let rows = try served.end()
            let first = rows.filter { $0["round"] == "1" }.map(\.strategy)
            let second = rows.filter { $0["round"] == "2" }.map(\.strategy)
            #expect(first.count >= 10 && Set(first) == Set(second) && first != second)
            #expect(Set(first).isDisjoint(with: ["bounce", "fault", "dual", "none"]))
            for row in rows
            where row["status"] != "interrupted" && !row["status"].hasPrefix("unavailable") {
                #expect(row["status"] == "ok" && row["leaked_pins"] == "0")
                #expect(row["violations_stale"] == "0")
                if row.strategy == "longlived" { #expect(row["conversions"] == "0") }
            }
        }

        /// What a row of such a guest has not, no reader of rows misses.
        @Test func readersOfRowsCope() throws {
            let directory = try TemporaryDirectory()
            let (rows, page) = (directory.file("rows.csv"), directory.file("page.html"))
            let served = try Served(
                "--store", "memory:1M", "--strategy", "slots,rangetree", "--turn", "30ms", "-o",
                rows)
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            let deadline = Deadline.after(milliseconds: 60_000)
            while readFile(rows).count(where: { $0 == "\n" }) < 9, !deadline.hasPassed {
                try #require(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            }
            _ = try served.end()
            #expect(try Rows(csv: readFile(rows)).rows.count >= 8)
            let report = try dmaBench("report", rows, "-o", page)
            #expect(report.end == .exited(0), "\(report.errors)")
            #expect(readFile(page).contains("vhost-user"))
            let merged = try dmaBench("merge", rows)
            #expect(merged.end == .exited(0) && merged.output.contains("vhost-user"))
            let compared = try dmaBench("compare", "--col", "strategy", "--base", "slots", rows)
            #expect(compared.end == .exited(0), "\(compared.errors)")
            #expect(compared.output.contains("rangetree"))
            let plotted = try dmaBench("plot", rows, "--out", directory.file("pictures"))
            #expect(plotted.errors.contains("rows of a real guest"), "\(plotted.errors)")
        }

        /// Whether conversions meet requests: a strategy that locks nothing is caught, one that locks denies.
        @Test(arguments: ["none", "rangetree"])
        func theConverterMeetsTheTraffic(_ strategy: String) throws {
            let served = try Served(
                "--store", "memory:1M", "--strategy", strategy, "--turn", "200ms",
                "--convert-rate", "max", "--convert-where", "inside")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            let column = strategy == "none" ? "violations_stale" : "conversions_denied"
            let isMet = try served.sees(
                while: {
                    for kind in [Self.write, Self.read] {
                        let status = try vmm.ask(kind, sector: 0, at: 0x10000, byteCount: 512 << 10)
                        try #require(status == 0)
                    }
                }, until: { rows in rows.contains { Int($0[column]) ?? 0 > 0 } })
            #expect(isMet)
            let rows = try served.end()
            if strategy != "none" { #expect(rows.allSatisfy { $0["violations_stale"] == "0" }) }
        }

        /// After its only request a range lock holds nothing, and a cache of pins what that has used.
        @Test(arguments: ["rangetree", "pincache"])
        func aCacheKeepsWhatARequestHasUsed(_ strategy: String) throws {
            let served = try Served(
                "--store", "memory:1M", "--strategy", strategy, "--turn", "300ms",
                "--convert-rate", "max", "--convert-where", "inside")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            try #require(
                try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 64 << 10) == 0)
            #expect(try served.sees(while: { usleep(20_000) }, until: { !$0.isEmpty }))
            let row = try #require(try served.end().first)
            let (granted, denied) = (
                try row.count("conversions"), try row.count("conversions_denied")
            )
            #expect(
                strategy == "pincache" ? denied > granted : granted > denied,
                "\(granted) granted, \(denied) denied")
        }

        /// A device that was stopped within a turn, and went on: its row says so, and the next one does not.
        @Test func aTurnInWhichTheDeviceWasStoppedIsMarked() throws {
            let served = try Served("--store", "memory:1M", "--turn", "60s")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            let device = try #require(served.device)
            kill(device, SIGSTOP)
            #expect(eventually { Processes.status("State", of: device)?.hasPrefix("T") == true })
            kill(device, SIGCONT)
            #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            let row = try #require(try served.end().last)
            #expect(row["noisy"].contains("stopped") && row["stops"] == "1", "\(row["noisy"])")
        }

        /// A page that the converter keeps: the request waits, then fails, and the guest is told.
        @Test func aRequestWaitsItsTimeForAPrivatePage() throws {
            let served = try Served(
                "--store", "memory:1M", "--convert-rate", "max", "--convert-where", "inside",
                "--convert-hold", "60s", "--request-timeout", "50ms", "--turn", "60s")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            var status: UInt8 = 0
            let deadline = Deadline.after(milliseconds: 30_000)
            while status == 0, !deadline.hasPassed {
                // Where the status cannot be written, none is.
                status = try vmm.ask(Self.read, sector: 0, at: 0x10000, byteCount: 4096)
            }
            #expect(status != 0)
            let row = try #require(try served.end().last)
            #expect(try row.count("refused") > 0 && row.count("page_waits") > 0)
        }
    }
}

/// `run` of this file's tests, in which the name stands for something else.
private func dmaBench(_ arguments: String...) throws -> Run.Outcome { try Run(arguments).finish() }
