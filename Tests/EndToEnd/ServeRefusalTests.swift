import DmaLinux
import Glibc
import Testing

@testable import VhostUser

extension EndToEnd {
    /// What `serve` refuses, of whoever starts it and of whoever connects.
    @Suite struct ServeRefusalTests {
        @Test(
            arguments: [
                (["--strategy", "bounce"], "swiotlb=force"),
                (["--strategy", "rangetree,fault"], "the mappings of the guest's VMM"),
                (["--strategy", "dual"], "the mappings of the guest's VMM"),
                (["--strategy", "rangtree"], "did you mean rangetree?"),
                (["--store", "memory"], "as in memory:1G"),
                (["--store", "file"], "as in file:/tmp/disk"),
                (["--store", "file:"], "as in file:/tmp/disk"),
                (["--store", "memry:1G"], "did you mean memory?"),
                (["--store", "file:/nowhere/disk"], "No such file or directory"),
                (["--store", "file:/dev/null"], "truncate -s 1G"),
                (["--store", "memory:1X"], "unknown unit"), (["--turn", "2"], "as in 500ms or 2s"),
                (["--turn", "0s"], "must be from 1ms to 86400s"),
                (["--turn", "2h"], "as in 500ms or 2s"),
                (["--convert-hold", "61s"], "must be from 0 to 60s"),
                (["--request-timeout", "99999999999999999999s"], "as in 500ms or 2s"),
                (["--queues", "33"], "from 1 to 32"), (["--convert-rate", "1,2"], "one value"),
                (["--policy", "revoke"], "it supports"),
                (["--memory-limit", "17T"], "the largest guest is 16T"),
                (["--format", "xml"], "unknown"),
            ] as [([String], String)])
        func refusesWhatMakesNoSense(_ options: [String], _ advice: String) throws {
            let directory = try TemporaryDirectory()
            let outcome = try Run(["serve", "--socket", directory.file("s")] + options).finish()
            #expect(outcome.end == .exited(64))
            #expect(
                outcome.errorLines.count == 1 && outcome.errors.contains(advice),
                "\(outcome.errors)")
            #expect(outcome.output == "" && directory.names == [])
        }

        @Test func refusesASocketThatCannotBe() throws {
            let directory = try TemporaryDirectory()
            let long = directory.file(String(repeating: "s", count: 120))
            let tooLong = try run("serve", "--socket", long)
            #expect(
                tooLong.end == .exited(64) && tooLong.errors.contains("in a directory such as /tmp")
            )
            try writeFile(directory.file("s"), "")
            let taken = try run("serve", "--socket", directory.file("s"))
            #expect(
                taken.end == .exited(64)
                    && taken.errors.contains("name another path, or remove this one"))
            let nowhere = try run("serve", "--socket", "/nowhere/s")
            #expect(
                nowhere.end == .exited(69) && nowhere.errors.contains("No such file or directory"))
            #expect(try run("serve").end == .exited(64))
        }

        /// Whoever has the socket sends what it likes: it is sent away with a line, and the next one is served.
        @Test func sendsAwayWhoeverMakesNoSense() throws {
            let directory = try TemporaryDirectory()
            let service = try Run([
                "serve", "--socket", directory.file("s"), "-q", "--store", "memory:1M",
            ])
            let region = ScriptedVMM.region
            let event = try FileDescriptor.event()
            let junk: [(ScriptedVMM) throws -> Void] = [
                { try $0.send(bytes: [UInt8](repeating: 0xFF, count: 12)) },
                {
                    try $0.send(bytes: Request.getFeatures.bytes() + [1, 0, 0, 0, 1])
                    $0.hangUpHalf()
                },
                { try $0.send(.setFeatures(VirtioFeatures(rawValue: .max))) },
                { try $0.send(.setMemoryTable([region])) },
                {
                    try $0.send(
                        .setMemoryTable([region, region]),
                        [$0.memory.fileDescriptor, $0.memory.fileDescriptor])
                },
                {
                    let long = RegionDescription(
                        guestAddress: 0, byteCount: region.byteCount + 4096,
                        userAddress: region.userAddress)
                    try $0.send(.setMemoryTable([long]), [$0.memory.fileDescriptor])
                },
                {
                    let wraps = RegionDescription(
                        guestAddress: 0, byteCount: region.byteCount, userAddress: UInt64.max - 4095
                    )
                    try $0.send(.setMemoryTable([wraps]), [$0.memory.fileDescriptor])
                },
                { try $0.send(.setKick(queue: 0, hasDescriptor: true), [event.raw]) },
                { try $0.send(.setQueueSize(queue: 99, 16)) },
                {
                    try $0.send(.setMemoryTable([region]), [$0.memory.fileDescriptor])
                    try $0.send(.setQueueSize(queue: 0, 16))
                    let outside = QueueAddresses(
                        descriptorTable: 0, usedRing: 0, availableRing: 0)
                    try $0.send(.setQueueAddresses(queue: 0, outside))
                    try $0.send(.setKick(queue: 0, hasDescriptor: true), [event.raw])
                },
            ]
            for (number, send) in junk.enumerated() {
                let vmm = try ScriptedVMM()
                try vmm.dial(directory.file("s"))
                try send(vmm)
                #expect(vmm.isSentAway(), "\(number)")
                let wanted = number + 1
                #expect(
                    eventually { service.errors.count { $0 == "\n" } == wanted },
                    "\(service.errors)")
            }
            let vmm = try ScriptedVMM()
            try vmm.connect(to: directory.file("s"))
            #expect(try vmm.ask(1, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            // A memory table while the queue runs that takes its rings away.
            try vmm.send(
                .setMemoryTable([
                    RegionDescription(
                        guestAddress: 0x10000, byteCount: 4096,
                        userAddress: region.userAddress + 0x10000,
                        offset: 0x10000)
                ]), [vmm.memory.fileDescriptor])
            #expect(vmm.isSentAway())
            service.signal(SIGTERM)
            let outcome = try service.finish(within: 30)
            #expect(outcome.end == .exited(0))
            #expect(
                outcome.errorLines.allSatisfy {
                    $0.hasPrefix("dma-bench: the connection was closed: ")
                })
            service.expectNoSurvivors()
        }

        /// A guest that breaks its queue is told through the error descriptor; the service goes on.
        @Test func aBrokenQueueIsToldOf() throws {
            let directory = try TemporaryDirectory()
            let service = try Run(["serve", "--socket", directory.file("s"), "-q"])
            let vmm = try ScriptedVMM()
            try vmm.connect(to: directory.file("s"))
            let error = try FileDescriptor.event()
            try vmm.acknowledged(.setError(queue: 0, hasDescriptor: true), [error.raw])
            // The index of the available ring, far ahead.
            vmm.bytes(at: 0x2000, 4).storeBytes(of: 9999, toByteOffset: 2, as: UInt16.self)
            vmm.kick.notify()
            let isTold = error.waitNotified(timeoutMilliseconds: 20_000)
            #expect(isTold)
            #expect(eventually { service.errors.contains("the virtqueue is broken") })
            vmm.hangUp()
            let next = try ScriptedVMM()
            try next.connect(to: directory.file("s"))
            #expect(try next.ask(0, sector: 0, at: 0x10000, byteCount: 4096) == 0)
            service.signal(SIGINT)
            #expect(try service.finish(within: 30).end == .exited(0))
            service.expectNoSurvivors()
        }
    }
}
