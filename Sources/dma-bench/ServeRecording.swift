import DmaLinux
import DmaReport
import Glibc
import Synchronization
import Telemetry
import Trace

/// Writes a trace of a guest's requests to a file, on a thread of its own, while devices fill the ring.
final class ServeRecording {
    /// What devices fill.
    let memory: SharedMapping
    private let writer: Writer
    private let shouldEnd = Flag()
    private let thread: JoinableThread

    private final class Flag: Sendable {
        let isSet = Atomic(false)
    }

    /// Sixteen MiB last for 20 ms, unless a guest sends 800 MB of descriptors a second.
    private static let napMilliseconds: UInt64 = 20

    /// Empties the file at `path`.
    init(_ path: String, _ clock: TickClock) throws {
        memory = try SharedMapping.create(
            name: "dma-bench-recording", byteCount: TraceRing.byteCount())
        writer = try Writer(path, TraceRing(memory), clock)
        let (writer, shouldEnd) = (writer, shouldEnd)
        thread = JoinableThread(
            try WorkerThread(name: "recorder") {
                while !shouldEnd.isSet.load(ordering: .acquiring) {
                    writer.drain()
                    sleep(until: .after(milliseconds: Self.napMilliseconds))
                }
            })
    }

    /// Once no device is left: writes the rest and the end; what is missing, and why.
    func finish() throws(OutputError) -> [String] {
        shouldEnd.isSet.store(true, ordering: .releasing)
        thread.join()
        return try writer.finish()
    }

    fileprivate final class Writer {
        private let path: String
        private let file: FileDescriptor
        private let ring: TraceRing
        private var consumer: TraceRing.Consumer
        private var writer = TraceWriter()
        private let clock: TickClock
        /// When the first request came, and when the last, from there on in nanoseconds.
        private var start: UInt64?
        private var last: UInt64 = 0
        private var failure: OutputError?

        init(_ path: String, _ ring: TraceRing, _ clock: TickClock) throws(OutputError) {
            self.path = path
            self.ring = ring
            self.clock = clock
            consumer = ring.consumer()
            file = try .openOutput(path, O_CREAT | O_TRUNC)
            try file.writeAll(writer.header, name: path)
        }

        func drain() {
            var text: [UInt8] = []
            consumer.drain { ticks, queue, direction, segments in
                if start == nil { start = ticks }
                // Queues are served by turns: what came first to one may be taken after what came later to another.
                last = max(
                    last, clock.nanoseconds(from: TickClock.elapsed(from: start!, to: ticks)))
                writer.write(due: last, queue: queue, direction, segments, to: &text)
            }
            guard !text.isEmpty, failure == nil else { return }
            do throws(OutputError) { try file.writeAll(text, name: path) } catch { failure = error }
        }

        func finish() throws(OutputError) -> [String] {
            drain()
            if let failure { throw failure }
            try file.writeAll(writer.end(lost: ring.lost), name: path)
            var missing: [String] = []
            if ring.lost > 0 {
                missing.append(
                    "\(ring.lost) requests are missing, since they came faster than they could be written"
                )
            }
            if writer.lost > 0 {
                missing.append(
                    "\(writer.lost) requests are missing, since "
                        + (writer.limit ?? "a request has \(Trace.chainLimit) ranges at most"))
            }
            return missing
        }
    }
}

// The thread uses it until it is joined; then whoever has joined that.
extension ServeRecording.Writer: @unchecked Sendable {}
