import DmaLinux
import Glibc
import Testing

@testable import VhostUser

@Suite struct ConnectionTests {
    @Test func aMessageComesByteByByte() throws {
        let session = try Session()
        let event = try OwnedDescriptor(.event())
        let bytes = Request.setCall(queue: 0, hasDescriptor: true).bytes()
        for (index, byte) in bytes.enumerated() {
            #expect(try session.pump() == [])
            try session.front.send([byte], index == 0 ? [event] : [])
        }
        #expect(try session.pump() == [.queueChanged(0)])
        #expect(session.queues[0].call != nil)
    }

    /// Each message has the descriptors that were sent with it, though all lie in the socket.
    @Test func messagesThatComeTogetherKeepTheirDescriptors() throws {
        let session = try Session()
        let (call, error) = (try OwnedDescriptor(.event()), try OwnedDescriptor(.event()))
        try session.front.send(.getFeatures)
        try session.front.send(.setCall(queue: 0, hasDescriptor: true), [call])
        try session.front.send(.setOwner)
        try session.front.send(.setError(queue: 1, hasDescriptor: true), [error])
        try session.front.send(
            Request.getQueueBase(queue: 1).bytes() + Request.getFeatures.bytes())
        #expect(try session.pump() == [.queueChanged(0), .queueChanged(1)])
        session.queues[0].call?.notify()
        #expect(call.isNotified())
        #expect(!error.isNotified())
        session.queues[1].error?.notify()
        #expect(error.isNotified())
    }

    @Test func theFrontEndGoes() throws {
        let (left, right) = try StreamSocket.pair()
        var connection = Connection(StreamSocket(FileDescriptor(owning: right)))
        close(left)
        guard case .end = try connection.receive() else {
            Issue.record("the end is not seen")
            return
        }
    }

    @Test(arguments: [1, 11, 12, 19])
    func theFrontEndGoesInTheMidstOfAMessage(sent: Int) throws {
        let (left, right) = try StreamSocket.pair()
        var connection = Connection(StreamSocket(FileDescriptor(owning: right)))
        do {
            let front = StreamSocket(FileDescriptor(owning: left))
            let bytes = Request.setStatus(1).bytes()
            #expect(try front.send(Array(bytes[..<sent])))
        }
        #expect(throws: ProtocolError.cutOff(sent, of: sent < 12 ? 12 : 20)) {
            _ = try connection.receive()
        }
    }

    @Test func moreDescriptorsThanAMessageHas() throws {
        let session = try Session()
        let guest = try SharedGuest()
        let number = guest.memory
        for count in [0, 2, 32] {
            let error = try session.refusal(
                of: .setCall(queue: 0, hasDescriptor: true),
                Array(repeating: number, count: count))
            #expect(error == .descriptorCount(.setCall, count, expected: 1...1))
        }
        #expect(copies(of: number) == 1)
    }

    /// More than there is room for: the kernel drops some (MSG_CTRUNC), so nobody can say what the message meant.
    @Test func moreDescriptorsThanThereIsRoomFor() throws {
        let (left, right) = try StreamSocket.pair()
        let guest = try SharedGuest()
        let number = guest.memory
        defer { close(left) }
        var connection = Connection(StreamSocket(FileDescriptor(owning: right)))
        sendRights(
            Request.getFeatures.bytes(), Array(repeating: number.fileDescriptor, count: 40),
            over: left)
        do throws(ProtocolError) {
            _ = try connection.receive()
            Issue.record("a message that lost descriptors was taken")
        } catch {
            guard case .system(let cause) = error else { throw error }
            #expect(cause.code == EMFILE && cause.description.contains("32 descriptors"))
        }
        // Of those that came, none is left once the connection is closed.
        connection = Connection(StreamSocket(FileDescriptor(owning: dup(left))))
        #expect(copies(of: number) == 1)
    }

    /// Descriptors in the midst of a message count as the message's: none is forgotten, none is another's.
    @Test func descriptorsThatComeLate() throws {
        let session = try Session()
        let event = try OwnedDescriptor(.event())
        let bytes = Request.setCall(queue: 1, hasDescriptor: true).bytes()
        try session.front.send(Array(bytes[..<15]))
        try session.front.send(Array(bytes[15...]), [event])
        #expect(try session.pump() == [.queueChanged(1)])
        try session.front.send(Array(bytes[..<5]), [event])
        try session.front.send(Array(bytes[5...]), [event])
        #expect(throws: ProtocolError.descriptorCount(.setCall, 2, expected: 1...1)) {
            try session.pump()
        }
    }

    @Test func aFrontEndThatReadsNoAnswers() throws {
        let session = try Session()
        var error: ProtocolError?
        // A socket's buffer has room for a few hundred.
        for _ in 0..<100_000 where error == nil { error = try session.refusal(of: .getFeatures) }
        #expect(error == .readsNothing)
    }

    @Test func theListenersNameComesAndGoes() throws {
        let path = "/tmp/\(uniqueName())"
        do {
            let listener = try StreamListener.listen(at: path)
            #expect(try listener.accept(milliseconds: 0) == nil)
            let client = try StreamListener.connect(to: path)
            let front = FrontEnd(socket: client)
            guard let server = try listener.accept(milliseconds: 10_000) else {
                Issue.record("nobody came")
                return
            }
            var connection = Connection(server)
            try front.send(.getFeatures)
            guard case .message(let message) = try connection.receive() else {
                Issue.record("no message came")
                return
            }
            #expect(message.request == .getFeatures)
            // There is one already.
            do throws(SystemError) {
                _ = try StreamListener.listen(at: path)
                Issue.record("two listen at \(path)")
            } catch {
                #expect(error.code == EADDRINUSE && error.advice.contains("remove this one"))
            }
        }
        #expect(access(path, F_OK) == -1)
        for path in ["", String(repeating: "x", count: StreamListener.pathLimit + 1), "a\0b"] {
            do throws(SystemError) {
                _ = try StreamListener.listen(at: path)
                Issue.record("a socket named '\(path)'")
            } catch { #expect(error.advice.contains("1 to 107 bytes")) }
        }
    }
}

/// More descriptors than the product ever sends with a message.
private func sendRights(_ bytes: [UInt8], _ descriptors: [Int32], over socket: Int32) {
    let headerSize = 16
    var control = [UInt8](repeating: 0, count: headerSize + (4 * descriptors.count + 7) / 8 * 8)
    var bytes = bytes
    control.withUnsafeMutableBytes { control in
        // struct cmsghdr: length, level, type; SCM_RIGHTS is 1 (cmsg(3)).
        control.storeBytes(of: headerSize + 4 * descriptors.count, as: Int.self)
        control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
        control.storeBytes(of: 1, toByteOffset: 12, as: Int32.self)
        for (index, descriptor) in descriptors.enumerated() {
            control.storeBytes(
                of: descriptor, toByteOffset: headerSize + 4 * index, as: Int32.self)
        }
        bytes.withUnsafeMutableBytes { bytes in
            var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr(
                    msg_name: nil, msg_namelen: 0, msg_iov: part, msg_iovlen: 1,
                    msg_control: control.baseAddress, msg_controllen: control.count, msg_flags: 0)
                #expect(sendmsg(socket, &message, 0) == bytes.count)
            }
        }
    }
}
