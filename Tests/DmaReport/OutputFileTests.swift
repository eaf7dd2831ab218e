import DmaLinux
import Glibc
import Testing

@testable import DmaReport

/// A file is written whole or not at all.
@Suite struct OutputFileTests {
    @Test func whatIsThereIsReplacedAndNothingIsLeft() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/f"
        try OutputFile.replace(path, with: Array("long".utf8))
        try OutputFile.replace(path, with: Array("new".utf8))
        #expect(readSmallFile(path) == "new")
        #expect(listDirectory(directory.path) == ["f"])
    }

    @Test func aFailureLeavesWhatWasThere() throws {
        let directory = ScratchDirectory()
        #expect(mkdir(directory.path + "/d", 0o777) == 0)
        #expect(throws: OutputError.self) {
            try OutputFile.replace(directory.path + "/d", with: [1])
        }
        #expect(listDirectory(directory.path) == ["d"])
        rmdir(directory.path + "/d")
        #expect(throws: OutputError.self) { try OutputFile.replace("/nonexistent/f", with: [1]) }
    }

    @Test func aFileIsCutBackOrSaysThatItIsNot() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/f"
        defer { unlink(path) }
        let file = try FileDescriptor.openOutput(path, O_CREAT)
        try file.writeAll(Array("row\nha".utf8), name: path)
        let error = OutputError("write", ENOSPC, on: path)
        // As where the kernel refuses ftruncate(2).
        let unwritable = FileDescriptor(owning: open(path, O_RDONLY | O_CLOEXEC))
        let left = unwritable.cut(to: 4, after: error)
        #expect(
            left.description.contains("No space left on device; it may end in part of a row, "))
        #expect(readSmallFile(path) == "row\nha")
        #expect(file.cut(to: 4, after: error) == error)
        #expect(readSmallFile(path) == "row\n")
        // And goes on there.
        try file.writeAll(Array("b\n".utf8), name: path)
        #expect(readSmallFile(path) == "row\nb\n")
    }

    @Test func directoriesAreMadeWithThoseAboveThem() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/a/b"
        try OutputFile.makeDirectory(path)
        try OutputFile.makeDirectory(path + "/")
        #expect(
            listDirectory(directory.path) == ["a"] && listDirectory(directory.path + "/a") == ["b"])
        try OutputFile.replace(path + "/f", with: [])
        #expect(throws: OutputError.self) { try OutputFile.makeDirectory(path + "/f/c") }
        unlink(path + "/f")
        rmdir(path)
        rmdir(directory.path + "/a")
    }
}
