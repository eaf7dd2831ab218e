import DmaLinux
import Glibc

/// A file of Chrome's trace events ("Trace Event Format", JSON array form), which Perfetto and chrome://tracing show: spans
/// on the tracks of processes. Gathered in memory, written between turns.
///
/// The array is closed by `close`; whoever reads a file whose writer was killed may do without its end, as the format has it.
public final class TimelineFile {
    private let file: FileDescriptor
    private let path: String
    private var pending: [UInt8] = []
    private var wholeBytes: off_t = 0
    private var isEmpty = true

    /// Opens and empties `path`.
    public init(_ path: String) throws(OutputError) {
        file = try .openOutput(path, O_CREAT | O_TRUNC)
        self.path = path
        pending = Array("[".utf8)
        try flush()
    }

    /// What the viewer calls a process, or a track of it.
    public func name(process: Int, track: Int? = nil, _ name: String) {
        var members = [
            JSON.Member("name", .string(track == nil ? "process_name" : "thread_name")),
            JSON.Member("ph", .string("M")), JSON.Member("pid", JSON(process)),
        ]
        if let track { members.append(JSON.Member("tid", JSON(track))) }
        members.append(JSON.Member("args", .object([JSON.Member("name", .string(name))])))
        append(members)
    }

    /// Something that went on on a track for `duration` nanoseconds from `start` on; the format counts in microseconds.
    public func span(
        _ name: String, process: Int, track: Int, from start: Double, for duration: Double,
        _ details: [JSON.Member] = []
    ) {
        append([
            JSON.Member("name", .string(name)), JSON.Member("ph", .string("X")),
            JSON.Member("pid", JSON(process)), JSON.Member("tid", JSON(track)),
            JSON.Member("ts", Self.microseconds(start)),
            JSON.Member("dur", Self.microseconds(duration)),
            JSON.Member("args", .object(details)),
        ])
    }

    /// To a tenth of a nanosecond: finer than any clock counts.
    private static func microseconds(_ nanoseconds: Double) -> JSON {
        JSON((nanoseconds * 10).rounded() / 10_000)
    }

    private func append(_ members: [JSON.Member]) {
        pending += Array(((isEmpty ? "\n" : ",\n") + JSON.object(members).compact).utf8)
        isEmpty = false
    }

    /// Writes what has been gathered; where that fails the file ends with what was whole before.
    public func flush() throws(OutputError) {
        defer { pending.removeAll(keepingCapacity: true) }
        do throws(OutputError) {
            try file.writeAll(pending, name: path)
            wholeBytes += off_t(pending.count)
        } catch {
            throw file.cut(to: wholeBytes, after: error)
        }
    }

    /// Ends the array; nothing is added afterwards.
    public func close() throws(OutputError) {
        pending += Array("\n]\n".utf8)
        try flush()
    }
}
