import DmaLinux
import Glibc

/// The file of single DMAs, one row of CSV each: gathered in memory, written between turns.
public final class RawFile {
    /// The columns, in order; times are in nanoseconds, to a tenth of one. `status` is the device's code, zero for completed. `gap_ns` is the time since the end of
    /// the device's previous request, at most that of 2^40 ticks of its clock, which is minutes.
    public static let columns = [
        "round", "strategy", "policy", "size_bytes", "chunk_bytes", "ranges", "devices", "engine",
        "convert_rate_hz", "convert_pages", "device", "request", "status", "bytes", "pin_ns",
        "write_ns", "unpin_ns", "dma_ns", "retries", "gap_ns",
    ]

    private let file: FileDescriptor
    private let path: String
    private var pending: [UInt8] = []
    private var wholeBytes: off_t = 0

    /// Opens and empties `path`, and writes the header.
    public init(_ path: String) throws(OutputError) {
        file = try .openOutput(path, O_CREAT | O_TRUNC)
        self.path = path
        append(Self.columns)
        try flush()
    }

    public func append(_ fields: [String]) { pending += Array(CSV.line(fields).utf8) }

    /// Writes what has been gathered; where that fails the file ends with the last whole row before it.
    public func flush() throws(OutputError) {
        defer { pending.removeAll(keepingCapacity: true) }
        do throws(OutputError) {
            try file.writeAll(pending, name: path)
            wholeBytes += off_t(pending.count)
        } catch {
            throw file.cut(to: wholeBytes, after: error)
        }
    }
}
