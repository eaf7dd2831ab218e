import Testing

@testable import DmaLinux

@Suite struct ControlChannelTests {
    /// The last words of a process that ends while something is on its way to it.
    @Test func whatWasSaidBeforeTheEndIsHeard() throws {
        let (one, other) = try FileDescriptor.packetPair()
        let ours = ControlChannel(FileDescriptor(owning: one))
        try ours.send(1 as UInt64)
        func end() throws {
            let theirs = ControlChannel(FileDescriptor(owning: other))
            try theirs.send(2 as UInt64, text: "why")
        }
        try end()
        let last = try ours.receive(UInt64.self)
        #expect(last?.message == 2 && last?.text == "why")
        let next = try ours.receive(UInt64.self)
        #expect(next == nil)
    }
}
