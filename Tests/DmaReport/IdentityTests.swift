import DmaLinux
import Glibc
import Testing

@testable import DmaReport

@Suite struct IdentityTests {
    @Test func aCellIsWhatWasAskedFor() {
        let row = Row.planned()
        var same = Row.measured("perpage", round: 7, pin: 1, write: 2, unpin: 3)
        (same.run, same.position, same.env, same.plan) = ("r2", 4, "another", "another")
        #expect(same.cell == row.cell)
        for (place, (column, _)) in Schema.cellColumns.enumerated() {
            var other = row
            #expect(column.parse(column.type == "text" ? "other" : "7", into: &other))
            #expect(other.cell != row.cell, "\(column.name)")
            #expect(other.cell.indices.filter { other.cell[$0] != row.cell[$0] } == [place])
        }
    }

    // MARK: Files that are replaced

    @Test(arguments: [Format.csv, .jsonl])
    func replacedFileHasTheRowsAndTakesMore(_ format: Format) throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/rows"
        do {
            var old = try RowSink(format, path: path)
            for _ in 0..<5 { try old.write(.full) }
        }
        var sink = try RowSink.replacing(path, by: [.full, .planned()], format)
        let kept = format.header + format.line(.full) + format.line(.planned())
        #expect(readSmallFile(path) == kept)
        #expect(sink.environmentPath == path + ".env.json")
        try sink.write(.full)
        #expect(readSmallFile(path) == kept + format.line(.full))
        #expect(listDirectory(directory.path) == ["rows"])
    }

    @Test func aLinkStaysOne() throws {
        let directory = ScratchDirectory()
        let (path, link) = (directory.path + "/rows", directory.path + "/link")
        _ = try RowSink(.csv, path: path)
        #expect(symlink(path, link) == 0)
        _ = try RowSink.replacing(link, by: [.planned()], .csv)
        #expect(readSmallFile(path) == Format.csv.header + Format.csv.line(.planned()))
        var status = stat()
        #expect(lstat(link, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    }

    /// What cannot be written whole leaves the old file as it was.
    @Test func aFullDiskLeavesTheOldFile() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            let directory = ScratchDirectory()
            let path = directory.path + "/rows"
            _ = try RowSink.replacing(path, by: [.planned()], .csv)
            let before = readSmallFile(path)
            var limit = rlimit(rlim_cur: 1000, rlim_max: .max)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            #expect(throws: OutputError.self) {
                _ = try RowSink.replacing(path, by: [.full, .full], .csv)
            }
            #expect(readSmallFile(path) == before)
            #expect(listDirectory(directory.path) == ["rows"])
        }
    }

    @Test func devicesAreNeverReplaced() throws {
        _ = try RowSink.replacing("/dev/null", by: [.full], .csv)
        var status = stat()
        #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }
}
