import Glibc
import Linux
import Testing

@testable import Report

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
