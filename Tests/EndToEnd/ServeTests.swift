import Glibc
import Linux
import Testing

@testable import VhostUser

extension EndToEnd {
    /// `serve` with a VMM and a guest that the test plays.
    @Suite struct ServeTests {
        private static let (read, write): (UInt32, UInt32) = (0, 1)

        /// A service of these options, and where it listens.
        private final class Served {
            let directory: TemporaryDirectory
            let run: Run
            let socket: String

            init(_ options: String...) throws {
                directory = try TemporaryDirectory()
                socket = directory.file("s")
                run = try Run(["serve", "--socket", socket, "-q"] + options)
            }

            /// The device process that serves now.
            var device: Int32? {
                Processes.all.first {
                    let words = Processes.arguments(of: $0)
                    return words.count == 3 && words[1] == "served-device"
                        && words[2] == String(run.pid) && Processes.isAlive($0)
                }
            }

            /// Ends it as whoever is at the terminal does, and reads its rows. Nothing is left of it.
            func end(
                _ status: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation
            ) throws -> [ResultRow] {
                run.signal(SIGINT)
                let outcome = try run.finish(within: 30)
                #expect(
                    outcome.end == .exited(status), "\(outcome.errors)",
                    sourceLocation: sourceLocation)
                run.expectNoSurvivors(sourceLocation: sourceLocation)
                #expect(directory.names == [], sourceLocation: sourceLocation)
                return outcome.output.isEmpty ? [] : try Rows(csv: outcome.output).rows
            }

            /// Whether a row like that comes, while this goes on.
            func sees(while body: () throws -> Void, until isMeant: ([ResultRow]) -> Bool) throws
                -> Bool
            {
                let deadline = Deadline.after(milliseconds: 60_000)
                while !deadline.hasPassed {
                    try body()
                    if isMeant(rows) { return true }
                }
                return false
            }

            var rows: [ResultRow] {
                let text = run.output
                guard let end = text.lastIndex(of: "\n") else { return [] }
                return (try? Rows(csv: String(text[...end])).rows) ?? []
            }
        }

        // MARK: What is served

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

        // MARK: Ends and beginnings

        /// Requests under way when the device dies are neither lost nor done after they were given back.
        @Test(arguments: [true, false]) func aDeadDeviceHasASuccessor(hasLog: Bool) throws {
            let served = try Served("--store", "memory:1M", "--strategy", "rangetree,slots")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket, logs: hasLog)
            #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            for round in 1...4 {
                let device = try #require(served.device)
                kill(device, SIGSTOP)
                for slot in 0..<5 {
                    memset(
                        vmm.bytes(at: 0x10000 + 4096 * UInt64(slot), 4096).baseAddress!,
                        Int32(16 * round + slot), 4096)
                    vmm.submit(
                        Self.write, sector: 8 * UInt64(slot), at: 0x10000 + 4096 * UInt64(slot),
                        byteCount: 4096, slot: slot)
                }
                vmm.kick.notify()
                kill(device, round % 2 == 0 ? SIGCONT : SIGKILL)
                kill(device, SIGKILL)
                #expect(vmm.isSentAway())
                try vmm.connect(to: served.socket, logs: hasLog)
                #expect(vmm.isDone())
                for slot in 0..<5 { #expect(vmm.status(slot) == 0) }
                #expect(vmm.logged == 0)
                for slot in 0..<5 {
                    #expect(
                        try vmm.ask(
                            Self.read, sector: 8 * UInt64(slot), at: 0x30000, byteCount: 4096) == 0)
                    let isRight = vmm.bytes(at: 0x30000, 4096).allSatisfy {
                        $0 == UInt8(16 * round + slot)
                    }
                    #expect(isRight)
                }
            }
            let rows = try served.end()
            let failed = rows.filter { $0["status"].hasPrefix("failed:") }
            #expect(failed.count == 4 && failed.allSatisfy { $0["leaked_pins"] == "0" })
        }

        /// A request that waits for a page when the device dies is in the log, and the next one does it.
        @Test func aRequestUnderWayIsDoneAgain() throws {
            let served = try Served(
                "--store", "memory:1M", "--convert-rate", "max", "--convert-where", "inside",
                "--convert-hold", "300ms", "--request-timeout", "60s", "--turn", "60s")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            let device = try #require(served.device)
            let isCaught = eventually(within: 60) {
                if vmm.isIdle {
                    vmm.submit(Self.write, sector: 8, at: 0x10000, byteCount: 4096)
                    vmm.kick.notify()
                }
                kill(device, SIGSTOP)
                while Processes.status("State", of: device) != "T" {}
                if vmm.logged == 1 { return true }
                kill(device, SIGCONT)
                return false
            }
            #expect(isCaught)
            kill(device, SIGKILL)
            #expect(vmm.isSentAway())
            memset(vmm.bytes(at: 0x10000, 4096).baseAddress!, 0x33, 4096)
            try vmm.connect(to: served.socket)
            #expect(vmm.isDone(within: 60))
            #expect(vmm.status() == 0)
            let rows = try served.end()
            #expect(rows.first?["status"].hasPrefix("failed:") == true)
            #expect(rows.first?["leaked_pins"] == "0")
            #expect(vmm.logged == 0)
        }

        @Test func theNextVMMMayComeWhenOneHasGone() throws {
            let served = try Served("--store", "memory:1M")
            for _ in 0..<3 {
                let vmm = try ScriptedVMM()
                try vmm.connect(to: served.socket)
                #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
                vmm.hangUp()
            }
            #expect(try served.end().count >= 2)
        }

        @Test func whoeverIsToldToStopStops() throws {
            let served = try Served("--store", "null", "--convert-rate", "max")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            #expect(try vmm.ask(Self.read, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            // Also a device that does not hear it.
            kill(try #require(served.device), SIGSTOP)
            _ = try served.end()
            #expect(vmm.isSentAway())
        }

        @Test func theDeviceDiesWithTheHarness() throws {
            let served = try Served("--store", "null")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            served.run.signal(SIGKILL)
            #expect(vmm.isSentAway())
            _ = try served.run.finish(within: 20)
            served.run.expectNoSurvivors()
        }

        // MARK: Guest memory

        /// Memory comes and goes while the queue runs.
        @Test(arguments: ["--strategy=longlived", "--strategy=rpc", "--implicit"])
        func memoryComesAndGoes(_ option: String) throws {
            let served = try Served("--store", "memory:1M", option)
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            // The same memory once more, for the guest at 8 GiB.
            let more = RegionDescription(
                guestAddress: 8 << 30, byteCount: ScriptedVMM.pages * 4096,
                userAddress: ScriptedVMM.userStart * 2)
            for _ in 0..<3 {
                #expect(
                    try vmm.ask(Self.read, sector: 0, at: 8 << 30 + 0x10000, byteCount: 4096) == 1)
                try vmm.acknowledged(.addMemoryRegion(more), [vmm.memory.fileDescriptor])
                memset(vmm.bytes(at: 0x10000, 4096).baseAddress!, 0x55, 4096)
                #expect(
                    try vmm.ask(Self.write, sector: 8, at: 8 << 30 + 0x10000, byteCount: 4096) == 0)
                #expect(try vmm.ask(Self.read, sector: 8, at: 0x20000, byteCount: 4096) == 0)
                #expect(vmm.bytes(at: 0x20000, 4096).allSatisfy { $0 == 0x55 })
                try vmm.acknowledged(.removeMemoryRegion(more))
            }
            _ = try served.end()
        }

        @Test func memoryAboveTheLimitIsRefused() throws {
            let served = try Served("--store", "null", "--memory-limit", "512K")
            let vmm = try ScriptedVMM()
            #expect(throws: (any Error).self) { try vmm.connect(to: served.socket) }
            #expect(vmm.isSentAway())
            #expect(eventually { served.run.errors.contains("--memory-limit 512") })
            _ = try served.end()
        }

        /// Every page that the device writes has its bit, while the guest migrates.
        @Test func whatIsWrittenIsLogged() throws {
            let served = try Served("--store", "memory:1M")
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            let log = try SharedMapping.create(name: "dirty-log", byteCount: 4096)
            try vmm.send(.setLogBase(LogDescription(byteCount: 4096)), [log.fileDescriptor])
            _ = try vmm.reply()
            let ring = 0x3000 as UInt64
            try vmm.acknowledged(
                .setQueueAddresses(queue: 0, ScriptedVMM.addresses(usedRingLog: ring)))
            try vmm.acknowledged(.setFeatures([.version1, .protocolFeatures, .logAll]))
            func marked() -> [Int] {
                (0..<Int(ScriptedVMM.pages)).filter {
                    log.base.load(fromByteOffset: $0 / 8, as: UInt8.self) & 1 << UInt8($0 % 8) != 0
                }
            }
            #expect(try vmm.ask(Self.write, sector: 0, at: 0x10000, byteCount: 8192) == 0)
            // The mark comes behind the status and the ring that are waited for.
            #expect(eventually { marked() == [3, 5] })
            #expect(try vmm.ask(Self.read, sector: 0, at: 0x20800, byteCount: 4096) == 0)
            #expect(eventually { marked() == [3, 5, 0x20, 0x21] })
            _ = try served.end()
        }
    }
}

/// `run` of this file's tests, in which the name stands for something else.
private func dmaBench(_ arguments: String...) throws -> Run.Outcome { try Run(arguments).finish() }
