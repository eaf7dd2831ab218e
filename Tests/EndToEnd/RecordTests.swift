import DmaLinux
import Glibc
import Testing
import Trace

extension EndToEnd {
    /// What `serve --record` writes down.
    @Suite struct RecordTests {
        private static let (read, write): (UInt32, UInt32) = (0, 1)

        /// A request: which way for the disk, where in guest memory, how much.
        private typealias Asked = (type: UInt32, address: UInt64, byteCount: UInt64)

        private static let asked: [Asked] = [
            (write, 0x10000, 4096), (read, 0x20200, 8192), (write, 0x10e00, 512),
            (read, 0x30000, 1536), (write, 0x40fff, 8192),
        ]

        /// Each request that moves data, one by one, through a change of strategy, a device's death and another VMM; what
        /// moves none, or lies outside the disk, is left out.
        @Test func everyRequestIsWrittenDown() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("trace")
            let served = try Served(
                "--store", "memory:1M", "--strategy", "rangetree,slots", "--turn", "30ms",
                "--record", path)
            let vmm = try ScriptedVMM()
            try vmm.connect(to: served.socket)
            var expected: [Asked] = []
            func ask(_ request: Asked) throws {
                let status = try vmm.ask(
                    request.type, sector: 0, at: request.address, byteCount: request.byteCount)
                try #require(status == 0)
                expected.append(request)
            }
            for _ in 0..<3 {
                for request in Self.asked { try ask(request) }
                // A flush.
                #expect(try vmm.ask(4, sector: 0) == 0)
                let beyond = try vmm.ask(Self.write, sector: 1 << 11, at: 0x10000, byteCount: 4096)
                #expect(beyond == 1)
                usleep(40_000)
            }
            kill(try #require(served.device), SIGKILL)
            try vmm.connect(to: served.socket)
            for request in Self.asked { try ask(request) }
            vmm.hangUp()
            try vmm.connect(to: served.socket)
            for request in Self.asked { try ask(request) }
            _ = try served.end()

            let trace = try Trace(Array(readFile(path).utf8))
            #expect(trace.lost == 0 && trace.requests.first?.due == 0)
            let got: [Asked] = trace.requests.indices.flatMap { index in
                trace.segments(of: index).map {
                    (
                        trace.requests[index].direction == .write ? Self.read : Self.write,
                        $0.address, $0.byteCount
                    )
                }
            }
            #expect(got.count == expected.count)
            for (one, other) in zip(got, expected) { #expect(one == other) }
            // Three pauses of 40 ms lie in it.
            #expect(trace.span >= 120_000_000)
        }

        /// What a queue has is noted while another one has its part of a round. Here one request is made available before
        /// those of the queue that is served before; whenever the device looks, it sees the one no later than them.
        @Test func aRequestDoesNotArriveWhenItsQueueIsServed() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("trace")
            let served = try Served(
                "--store", "memory:1M", "--strategy", "rangetree", "--turn", "3600s", "--queues",
                "2",
                "--convert-rate", "0", "--record", path)
            let vmm = try ScriptedVMM(queues: 2)
            try vmm.connect(to: served.socket)
            vmm.submit(Self.write, sector: 0, at: 0x20000, byteCount: 4096, queue: 1)
            for slot in 0..<5 {
                vmm.submit(Self.write, sector: 0, at: 0x30000, byteCount: 1 << 18, slot: slot)
            }
            let isDone = vmm.isDone()
            #expect(isDone)
            vmm.hangUp()
            _ = try served.end()
            let requests = try Trace(Array(readFile(path).utf8)).requests
            #expect(requests.count == 6)
            let one = try #require(requests.firstIndex { $0.queue == 1 })
            // Times in the file never go back.
            #expect(requests[one].due == (one > 0 ? requests[one - 1].due : 0))
        }

        /// Before anybody can connect.
        @Test(arguments: ["/nowhere/trace", "/dev/full"])
        func whatCannotBeWrittenIsRefusedAtOnce(_ path: String) throws {
            let directory = try TemporaryDirectory()
            let outcome = try Run(
                ["serve", "--socket", directory.file("s"), "-q", "--record", path]
            ).finish()
            #expect(outcome.end == .exited(74), "\(outcome.errors)")
            #expect(outcome.errors.contains(path))
            #expect(directory.names == [])
        }
    }
}
