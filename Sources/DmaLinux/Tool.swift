import CLinux
import Glibc

/// Another program, run to its end with text in and text out.
public enum Tool {
    public struct Outcome: Sendable {
        public let end: ChildProcess.End
        /// Whether it was killed because its caller was interrupted.
        public let wasStopped: Bool
        /// What it wrote to standard output.
        public let output: [UInt8]
        /// What it wrote to standard error.
        public let errors: [UInt8]
    }

    /// Runs `arguments[0]`, which is looked up on the PATH, with `input` as its standard input; kills it within a tenth
    /// of a second where `isInterrupted`.
    ///
    /// All three streams are files in memory, so that neither side ever waits for the other to read.
    public static func run(
        _ arguments: [String], input: [UInt8], isInterrupted: () -> Bool
    ) throws(SystemError) -> Outcome {
        let given = try memoryFile()
        let output = try memoryFile()
        let errors = try memoryFile()
        var written = 0
        while written < input.count {
            let count = input.withUnsafeBytes { bytes in
                uninterrupted {
                    pwrite(
                        given.raw, bytes.baseAddress! + written, input.count - written,
                        off_t(written))
                }
            }
            written += try checkErrno(count, "pwrite", on: "memory file")
        }
        let child = try ChildProcess(
            program: arguments, standard: [given.raw, output.raw, errors.raw])
        var wasStopped = false
        while true {
            if let end = child.poll() {
                return Outcome(
                    end: end, wasStopped: wasStopped, output: try content(of: output),
                    errors: try content(of: errors))
            }
            if isInterrupted() {
                wasStopped = true
                child.terminate()
            } else {
                _ = try FileDescriptor.readable([child.deathDescriptor], milliseconds: 100)
            }
        }
    }

    private static func memoryFile() throws(SystemError) -> FileDescriptor {
        let file = FileDescriptor(
            owning: try check(
                clinux_memfd_create("tool", CLINUX_HUGE_NONE, true), "memfd_create"))
        // Above the standard streams, even where those are closed: they are replaced one by one in the child.
        return try .duplicate(file.raw)
    }

    private static func content(of file: borrowing FileDescriptor) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: try file.byteCount)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { rest in
                uninterrupted {
                    pread(file.raw, rest.baseAddress! + done, rest.count - done, off_t(done))
                }
            }
            if count == 0 { break }
            done += try checkErrno(count, "pread", on: "memory file")
        }
        return bytes
    }
}
