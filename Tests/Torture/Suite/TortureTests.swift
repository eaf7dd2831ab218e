import Glibc
import PinLock
import Testing

/// The campaigns in short; `make torture` is the long one.
///
/// It runs in a process of its own, which forks its devices: that wants a program without other threads.
@Suite struct TortureTests {
    /// `torture` and `dma-bench` beside the test bundle: `swift build` puts all into one directory.
    private static var directory: String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        let bundle = String(
            decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/")
    }

    private static let measured =
        getenv("DMA_BENCH_BINARY").map { String(cString: $0) } ?? directory + "/dma-bench"

    /// What the program writes on standard output, and its exit status.
    private func torture(_ arguments: String) throws -> (output: String, status: Int32) {
        let stream = try #require(
            popen("SWIFT_BACKTRACE=enable=no \(Self.directory)/torture \(arguments) 2>&1", "r"))
        var output = ""
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), stream) != nil {
            output += String(
                decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return (output, pclose(stream) >> 8)
    }

    @Test func aGuestConvertsAfterEveryDeath() throws {
        let (output, status) = try torture("steps 8 0")
        #expect(status == 0, "\(output)")
        // Every strategy has its line, and the sum its own.
        #expect(output.split(separator: "\n").count == Registry.all.count + 1, "\(output)")
    }

    /// Devices that die at any moment, while others read from the table what they hold; `none` shows what that finds.
    @Test func theTableSaysSharedWhereverAPinIsHeld() throws {
        let names = Registry.all.filter { $0.info.isSafe }.map { $0.info.name } + ["none"]
        let (output, status) = try torture("table 8 \(names.joined(separator: " "))")
        #expect(status == 0, "\(output)")
        let lines = output.split(separator: "\n")
        #expect(lines.count > 10 && lines.allSatisfy { $0.contains(" deaths, ") }, "\(output)")
        #expect(lines.contains { $0.hasPrefix("none: ") && $0.hasSuffix(": caught") }, "\(output)")
    }

    /// Every call that a process makes fails once, with one of its errors.
    @Test func aRunEndsAsItMustWhateverCallFails() throws {
        let (output, status) = try torture(
            "calls 0 \(Self.measured) --size 256K --no-write --rounds 1 --ops 1 -o rows.csv")
        #expect(status == 0, "\(output)")
        let end = try #require(output.split(separator: "\n").last)
        #expect(end.contains("; 0 wrong, "), "\(output)")
        for call in ["mmap", "openat", "fdatasync", "memfd_create", "clone3", "ppoll"] {
            #expect(output.contains("\n\(call) "), "\(output)")
        }
    }

    #if DEBUG || TWINS
        @Test func brokenTwinsAreCaught() throws {
            let (output, status) = try torture("twins")
            #expect(status == 0, "\(output)")
            #expect(
                output.contains("CountsFirst is caught")
                    && output.contains("SkipsTheTorn is caught")
                    && output.contains("ForgetsTheList is caught"), "\(output)")
            let judged = output.split(separator: "\n").count { $0.hasSuffix(" as it should be") }
            #expect(judged == 9, "\(output)")
        }
    #endif
}
