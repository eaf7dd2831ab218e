import Glibc
import Testing

@testable import DmaLinux
@testable import VhostUser

/// QEMU as the front-end, emulating a machine whose firmware and boot sector read one sector after another.
@Suite struct RealFrontEndTests {
    private static let isThere =
        ["/usr/bin", "/usr/local/bin"].contains { access("\($0)/qemu-system-x86_64", X_OK) == 0 }

    /// A guest that reads, a device that dies with a request under way, its successor, and an end in good order.
    @Test(.enabled(if: isThere, "no qemu-system-x86_64"), arguments: [false, true])
    func aGuestIsServedAndServedAgain(isConfidential: Bool) throws {
        let path = "/tmp/\(uniqueName())"
        let listener = try StreamListener.listen(at: path)
        let qemu = try Self.start(
            path, isConfidential ? ",iommu_platform=on,disable-legacy=on" : "")
        defer { qemu.terminate() }
        let deadline = Deadline.after(milliseconds: 120_000)

        var left: UInt16?
        do {
            let device = try ReadingDevice(
                try accept(listener, until: deadline), offersAccessPlatform: isConfidential)
            try device.run(until: deadline) { device.served >= 50 }
            #expect(device.again == [] && device.served >= 50)
            left = try device.fetchOne(until: deadline)
        }
        let head = try #require(left)
        do {
            let device = try ReadingDevice(
                try accept(listener, until: deadline), offersAccessPlatform: isConfidential)
            try device.run(until: deadline) { device.served >= 50 }
            #expect(device.again == [head])
            #expect(device.session.features.isSuperset(of: [.version1]))
            #expect(device.session.memory.guestEnd == 64 << 20)

            qemu.signal(SIGTERM)
            try device.run(until: deadline) { device.hasEnded }
            #expect(device.hasEnded)
            #expect(device.stops == 1)
            #expect(!device.session.isRunning)
        }
        #expect(qemu.wait(until: deadline) == .exited(0))
    }

    /// What QEMU asks of a device that goes on meanwhile: to pause, to take more memory, to log what it writes.
    @Test(.enabled(if: isThere, "no qemu-system-x86_64"))
    func aGuestPausesGrowsAndMigrates() throws {
        let (path, control) = ("/tmp/\(uniqueName())", "/tmp/\(uniqueName())")
        let listener = try StreamListener.listen(at: path)
        let qemu = try Self.start(path, more: ["-qmp", "unix:\(control),server=on,wait=off"])
        defer {
            qemu.terminate()
            unlink(control)
        }
        let deadline = Deadline.after(milliseconds: 120_000)
        let device = try ReadingDevice(try accept(listener, until: deadline))
        func serve(_ count: Int) throws {
            let enough = device.served + count
            try device.run(until: deadline) { device.served >= enough }
            #expect(device.served >= enough)
        }
        try serve(20)
        let monitor = try Monitor(control)
        try monitor.send(#"{"execute":"qmp_capabilities"}"#)

        try monitor.send(#"{"execute":"stop"}"#)
        try device.run(until: deadline) { device.stops == 1 }
        #expect(!device.session.isRunning)
        try monitor.send(#"{"execute":"cont"}"#)
        try serve(20)
        #expect(device.stops == 1 && device.again == [])

        try monitor.send(
            #"{"execute":"object-add","arguments":{"qom-type":"memory-backend-memfd","id":"n","size":134217728,"share":true}}"#
        )
        try monitor.send(
            #"{"execute":"device_add","arguments":{"driver":"pc-dimm","id":"d","memdev":"n"}}"#)
        try device.run(until: deadline) { device.session.memory.regions.count == 2 }
        #expect(device.session.memory.guestEnd == 1 << 32 + 128 << 20)
        #expect(device.stops == 1)
        try serve(20)

        try monitor.send(
            #"{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":1048576}}"#)
        try monitor.send(#"{"execute":"migrate","arguments":{"uri":"exec:cat >/dev/null"}}"#)
        try device.run(until: deadline) { device.marks >= 40 }
        #expect(device.effects.contains(.dirtyLogChanged) && device.marks >= 40)
        try monitor.send(#"{"execute":"migrate_cancel"}"#)
        try device.run(until: deadline) { device.session.dirtyLog == nil }
        #expect(!device.session.features.contains(.logAll))
        try serve(20)
        #expect(device.stops == 1)
        qemu.signal(SIGTERM)
        try device.run(until: deadline) { device.hasEnded }
        #expect(device.stops == 2)
        #expect(qemu.wait(until: deadline) == .exited(0))
    }

    private func accept(
        _ listener: borrowing StreamListener, until deadline: Deadline
    ) throws -> Connection {
        while !deadline.hasPassed {
            if let socket = try listener.accept(milliseconds: 100) { return Connection(socket) }
        }
        throw SystemError("accept", code: ETIMEDOUT, on: "QEMU has not come")
    }

    private static func start(
        _ path: String, _ options: String = "", more: [String] = []
    ) throws -> ChildProcess {
        let silence = try OwnedDescriptor(
            FileDescriptor(owning: checkErrno(open("/dev/null", O_RDWR | O_CLOEXEC), "open")))
        let high = try OwnedDescriptor(.duplicate(silence.raw, from: 3))
        defer { withExtendedLifetime((silence, high)) {} }
        return try ChildProcess(
            program: [
                "qemu-system-x86_64", "-accel", "tcg", "-m", "64M,slots=2,maxmem=1G",
                "-nodefaults", "-display", "none", "-no-user-config", "-object",
                "memory-backend-memfd,id=m,size=64M,share=on", "-machine",
                "pc,memory-backend=m", "-chardev", "socket,id=c,path=\(path),reconnect=1",
                "-device", "vhost-user-blk-pci,chardev=c,bootindex=1\(options)",
            ] + more, standard: [high.raw, high.raw, high.raw])
    }
}

/// QEMU's control socket (QMP): commands go in, and nobody waits for what comes back, since QEMU may wait for us.
private struct Monitor: ~Copyable {
    private let socket: StreamSocket

    init(_ path: String) throws { socket = try StreamListener.connect(to: path) }

    func send(_ command: String) throws {
        let isSent = try socket.send(Array(command.utf8) + [10])
        #expect(isSent)
    }
}
