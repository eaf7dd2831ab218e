import DmaLinux
import DmaReport
import Experiment
import Glibc
import GuestMemory
import MachineProbe
import PinLock
import Service
import Telemetry
import VirtualDevice

/// What `serve` asks for, to the exit status: a socket, a store, rows out as they come.
struct ServeSession {
    private let command: ServeCommand
    private let request: ServiceRequest
    private let leftOut: [String]
    private let store: NamedStore
    private let format: Format
    private let isForPeople: Bool

    init(_ command: ServeCommand) throws(Failure) {
        self.command = command
        do throws(UsageError) {
            (request, leftOut) = try command.request()
            store = try command.namedStore()
            format = try Choice.named(
                command.format ?? "csv", option: "--format",
                among: Format.allCases.map { ($0.rawValue, $0) })
        } catch {
            throw Failure(.usage, error.description)
        }
        guard !request.strategies.isEmpty else {
            throw Failure(
                .usage,
                "--strategy \(command.strategy): none of them can serve a guest of somebody else's")
        }
        guard request.settings.engine.isAvailable else {
            throw Failure(
                .unavailable,
                "--engine \(command.engine): this processor has no such instructions; use memset")
        }
        isForPeople = Terminal.isTerminal(STDERR_FILENO) && !command.quiet
    }

    func run() throws {
        if command.dryRun { return }
        var request = request
        let clock = TickClock.calibrated()
        let store = try openStore()
        request.store = self.store.kind
        request.capacityInSectors = store.sectors
        let environment = Environment.capture(revision: Build.revision)
        do {
            let service = try GuestService(request, store: store.raw, clock: clock)
            if let reason = service.unavailability {
                throw Failure(.unavailable, "--strategy \(reason)")
            }
            let listener = try listen()
            let recording = try command.record.map { try ServeRecording($0, clock) }
            service.recording = recording?.memory
            let output = try ServeOutput(format, path: command.output, environment, clock)
            let log = ServeLog(
                ServeRows(
                    request, store: self.store,
                    planHash: Text.hash(command.identity(request, self.store)),
                    environment: environment, clock: clock),
                output, isForPeople: isForPeople)
            if !command.quiet {
                if !leftOut.isEmpty {
                    log.say(
                        "left out, since they cannot serve a real guest: \(leftOut.joined(separator: ", "))"
                    )
                }
                log.say("listening on \(command.socket)")
            }
            do {
                try service.run(on: listener, watchedBy: log)
            } catch {
                _ = try? recording?.finish()
                throw error
            }
            log.progress.erase()
            for missing in try recording?.finish() ?? [] {
                log.say("--record \(command.record!): \(missing)")
            }
            try log.judge()
        } catch let error as SystemError {
            throw Failure(.unavailable, error.description)
        } catch let error as OutputError {
            throw Failure(.inputOutput, error.description)
        }
    }

    private func listen() throws(Failure) -> StreamListener {
        do throws(SystemError) {
            return try StreamListener.listen(at: command.socket)
        } catch {
            throw Failure(
                [ENAMETOOLONG, EADDRINUSE, EINVAL].contains(error.code) ? .usage : .unavailable,
                "--socket \(command.socket): \(error)")
        }
    }

    /// What cannot be opened fails before anybody can connect.
    private func openStore() throws(Failure) -> OpenStore {
        switch store {
        case .sized(let kind, let size):
            let sectors = size.rawValue / ServedSetup.sectorByteCount
            guard kind == .memory else { return OpenStore(sectors: sectors) }
            do throws(SystemError) {
                let memory = try SharedMapping.create(
                    name: "dma-bench-store", byteCount: Int(size.rawValue))
                return OpenStore(try .duplicate(memory.fileDescriptor), sectors: sectors)
            } catch { throw Failure(.unavailable, "--store \(command.store): \(error)") }
        case .file(let path):
            do throws(SystemError) {
                let number = uninterrupted { open(path, O_RDWR | O_CLOEXEC) }
                let file = FileDescriptor(owning: try checkErrno(number, "open", on: path))
                // Of a block device too, whose length stat(2) does not know.
                let size = try checkErrno(lseek(file.raw, 0, SEEK_END), "lseek", on: path)
                guard size >= 512 else {
                    throw SystemError(
                        "open", code: EINVAL, on: path,
                        advice:
                            "it has \(size) bytes, and a disk has 512 at least: truncate -s 1G \(path) makes one"
                    )
                }
                let sectors = UInt64(size) / ServedSetup.sectorByteCount
                return OpenStore(file, sectors: sectors)
            } catch {
                throw Failure(
                    error.code == EINVAL || error.code == ENOENT ? .usage : .unavailable,
                    "--store \(command.store): \(error)")
            }
        }
    }
}

/// An open store: its descriptor, where it has one, for as long as this lives.
final class OpenStore {
    let raw: Int32?
    let sectors: UInt64
    private let descriptor: FileDescriptor?

    init(sectors: UInt64) {
        (raw, self.sectors) = (nil, sectors)
        descriptor = nil
    }

    init(_ descriptor: consuming FileDescriptor, sectors: UInt64) {
        (raw, self.sectors) = (descriptor.raw, sectors)
        self.descriptor = consume descriptor
    }
}

/// Where the rows of a service go, and the environment beside them.
final class ServeOutput {
    private var sink: RowSink

    init(_ format: Format, path: String?, _ environment: Environment, _ clock: TickClock)
        throws(OutputError)
    {
        sink = try RowSink(format, path: path)
        var environment = environment
        environment.clockStepNanoseconds = clock.measuredStep()
        if let path = sink.environmentPath { try environment.write(to: path) }
    }

    func write(_ row: Row) throws(OutputError) { try sink.write(row) }
}
