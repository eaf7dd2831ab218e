import DmaLinux
import Glibc
import Testing

@testable import VhostUser

extension EndToEnd {
    /// What changes while `serve` runs: devices and VMMs end, memory comes and goes.
    @Suite struct ServeChangeTests {
        private static let (read, write): (UInt32, UInt32) = (0, 1)

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
            #expect(
                eventually { served.run.errors.contains("--memory-limit 512") },
                "\(served.run.errors)")
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
