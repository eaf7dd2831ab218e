import DmaLinux
import Glibc
import Testing

@testable import DmaReport

@Suite struct RowSinkTests {
    @Test(arguments: Format.allCases)
    func fileHoldsHeaderAndRows(format: Format) throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/rows"
        var sink = try RowSink(format, path: path)
        #expect(readSmallFile(path) == format.header)
        try sink.write(.full)
        #expect(readSmallFile(path) == format.header + format.line(.full))
        try sink.write(.planned())
        #expect(
            readSmallFile(path) == format.header + format.line(.full) + format.line(.planned()))
        #expect(sink.environmentPath == path + ".env.json")
    }

    @Test func fileIsEmptiedAtStart() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/rows"
        do {
            var sink = try RowSink(.csv, path: path)
            for _ in 0..<10 { try sink.write(.full) }
        }
        _ = try RowSink(.csv, path: path)
        #expect(readSmallFile(path) == Format.csv.header)
    }

    @Test func unwritablePathFailsBeforeAnyRow() {
        #expect(
            message { _ = try RowSink(.csv, path: "/nowhere/a\nb.csv") }
                == "open (/nowhere/a b.csv): No such file or directory; create the directory first")
        #expect(
            message { _ = try RowSink(.csv, path: "/tmp") }
                == "open (/tmp): Is a directory; name a file, not a directory")
    }

    @Test func devicesAreWrittenButNeverCut() throws {
        var sink = try RowSink(.csv, path: "/dev/null")
        try sink.write(.full)
        #expect(sink.environmentPath == nil)
    }

    /// Behind a descriptor is a file, whose name nobody has given; a link of somebody's own is a name.
    @Test func namesOfDescriptorsAreNoNames() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/rows"
        let number = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let file = FileDescriptor(owning: try #require(number >= 0 ? number : nil))
        for descriptor in ["/proc/self/fd/\(file.raw)", "/dev/fd/\(file.raw)"] {
            #expect(try RowSink(.csv, path: descriptor).environmentPath == nil)
            let link = directory.path + "/link"
            try #require(symlink(descriptor, link) == 0)
            #expect(try RowSink(.csv, path: link).environmentPath == nil)
            unlink(link)
        }
        let link = directory.path + "/link"
        try #require(symlink("rows", link) == 0)
        #expect(try RowSink(.csv, path: link).environmentPath == link + ".env.json")
        #expect(!OutputFile.isDescriptor("rows") && !OutputFile.isDescriptor("/rows"))
        #expect(!OutputFile.isDescriptor(directory.path + "/none/rows"))
    }

    @Test func fullDeviceIsReported() {
        #expect(
            message { _ = try RowSink(.csv, path: "/dev/full") }
                == "write (/dev/full): No space left on device; "
                + "free some space there or write elsewhere with -o FILE")
        #expect(
            message {
                // Without a header, so that the row itself meets the full device.
                var sink = try RowSink(.jsonl, path: "/dev/full")
                try sink.write(.full)
            }?.hasPrefix("write (/dev/full): No space left") == true)
    }

    @Test func readerThatEndedIsACaseOfItsOwn() throws {
        signal(SIGPIPE, SIG_IGN)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        var sink = try RowSink(.jsonl, stream: FileDescriptor(owning: ends[1]))
        try sink.write(.full)
        close(ends[0])
        do throws(OutputError) {
            try sink.write(.full)
            Issue.record("wrote to a pipe without a reader")
        } catch {
            #expect(error == .readerGone("standard output"))
            #expect(
                error.description
                    == "standard output: its reader has ended; use -o FILE to keep all rows")
        }
    }

    @Test func longRowsPassThroughASmallPipe() async throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        #expect(fcntl(ends[1], setPipeSize, 4096) >= 0)
        let reader = FileDescriptor(owning: ends[0])
        var row = Row.planned()
        row.noisy = [String(repeating: "x", count: 100_000)]
        let expected = Format.jsonl.line(row)
        let writer = Task { [row, number = ends[1]] in
            var sink = try RowSink(.jsonl, stream: FileDescriptor(owning: number))
            try sink.write(row)
        }
        let text = readAll(reader)
        try await writer.value
        #expect(text == expected)
    }

    /// A limit on file size stops a write in the middle of a row, as a full disk does.
    @Test func halfARowIsTakenBack() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            let directory = ScratchDirectory()
            let path = directory.path + "/rows"
            let (header, line) = (Format.csv.header, Format.csv.line(.planned()))
            let whole = header.utf8.count + 2 * line.utf8.count
            var sink = try RowSink(.csv, path: path)
            try sink.write(.planned())
            try sink.write(.planned())
            limitFileSize(whole + line.utf8.count / 2)
            #expect(throws: OutputError.self) { try sink.write(.planned()) }
            #expect(readSmallFile(path) == header + line + line)

            // With room again the next row follows the last whole one.
            limitFileSize(whole + line.utf8.count)
            try sink.write(.planned())
            #expect(readSmallFile(path) == header + line + line + line)
        }
    }

    @Test(.enabled(if: canMount, "needs to mount a tmpfs: run as root"))
    func fullFileSystemLeavesOnlyWholeRows() throws {
        let directory = ScratchDirectory()
        try #require(mountTmpfs(directory.path))
        defer { umount(directory.path) }
        let path = directory.path + "/rows"
        var sink = try RowSink(.csv, path: path)
        var row = Row.planned()
        row.run = String(repeating: "r", count: 9000)
        var whole = Format.csv.header
        do throws(OutputError) {
            for _ in 0..<100 {
                try sink.write(row)
                whole += Format.csv.line(row)
            }
            Issue.record("100 rows of 9 KiB fitted into 64 KiB")
        } catch {
            #expect(error.description.hasPrefix("write (\(path)): No space left on device; free"))
        }
        #expect(whole.utf8.count > 50_000)
        #expect(readSmallFile(path, limit: 1 << 20) == whole)
        unlink(path)
    }

    private func message(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return "\(error)"
        }
    }
}

/// F_SETPIPE_SZ (fcntl(2)), which glibc shows only with _GNU_SOURCE.
private let setPipeSize: Int32 = 1031

private let canMount: Bool = {
    let directory = ScratchDirectory()
    guard mountTmpfs(directory.path) else { return false }
    umount(directory.path)
    return true
}()

private func mountTmpfs(_ path: String) -> Bool {
    mount("none", path, "tmpfs", 0, "size=64k") == 0
}

private func limitFileSize(_ bytes: Int) {
    var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: .max)
    setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
}

private func readAll(_ file: borrowing FileDescriptor) -> String {
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(file.raw, &chunk, chunk.count)
        guard count > 0 else { return String(decoding: text, as: UTF8.self) }
        text += chunk.prefix(count)
    }
}
