import DmaReport
import Foundation
import Testing

@testable import Analysis

@Suite struct PageTests {
    private static let hostile = "</script><script>alert(1)</script>\"&'<!--\u{1B}]]>"

    @Test func theParserRefusesWhatIsNotWellFormed() throws {
        let whole = try page(usualRows)
        _ = try WellFormed(whole)
        for broken in [("<meta charset=\"utf-8\" />", "<meta charset=\"utf-8\">"), ("</main>", "")]
        {
            let text = whole.replacingOccurrences(of: broken.0, with: broken.1)
            #expect(throws: (any Error).self) { try WellFormed(text) }
        }
        #expect(throws: (any Error).self) {
            try WellFormed(whole.replacingOccurrences(of: "All figures", with: "All & figures"))
        }
    }

    @Test func textFromFilesStaysText() throws {
        let rows = usualRows.map { row in
            row.with {
                $0.strategy += Self.hostile
                $0.run = Self.hostile
                $0.engine = Self.hostile
                $0.noisy = [Self.hostile]
                $0.env = Self.hostile
            }
        }
        let failed = rows[0].with { $0.status = .unavailable(Self.hostile) }
        let text = try page(
            rows + [failed], environment: Self.hostile, name: "a<b>&\"'.csv")
        let hostile = try WellFormed(text)
        let plain = try WellFormed(page(usualRows))
        #expect(hostile.count("script") == plain.count("script"))
        #expect(hostile.count("style") == 1 && plain.count("style") == 1)
        #expect(hostile.text.contains("</script><script>alert(1)</script>\"&'"))
        #expect(hostile.text.contains("a<b>&\"'.csv"))
        #expect(!text.contains("\u{1B}"))
    }

    /// Nothing that a browser would fetch, whatever its content policy.
    @Test func nothingIsFetched() throws {
        let parsed = try WellFormed(page(usualRows))
        let fetching = ["src", "href", "xlink:href", "data", "action", "poster", "srcset"]
        for element in parsed.elements {
            for (name, value) in element.attributes where fetching.contains(name) {
                #expect(value.hasPrefix("#"), "\(element.name) \(name)=\(value)")
            }
            #expect(!["link", "iframe", "object", "embed", "base"].contains(element.name))
        }
        #expect(!Style.sheet.contains("url(") && !Style.sheet.contains("@import"))
    }

    @Test func onlyThePagesOwnScriptMayRun() throws {
        let text = try page(usualRows)
        let policy = try #require(
            WellFormed(text).elements.first { $0.attributes["http-equiv"] != nil }
        ).attributes["content"]
        #expect(
            policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
                + "script-src 'sha256-\(try sha256(Style.script))'")
        #expect(text.contains("<script>\(Style.script)</script>"))
    }

    private func sha256(_ text: String) throws -> String {
        let process = Process()
        let (input, output) = (Pipe(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
        (process.standardInput, process.standardOutput) = (input, output)
        try process.run()
        input.fileHandleForWriting.write(Data(text.utf8))
        input.fileHandleForWriting.closeFile()
        let digits = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile().prefix(64), as: UTF8.self)
        process.waitUntilExit()
        let bytes = stride(from: 0, to: 64, by: 2).compactMap { place in
            UInt8(digits.dropFirst(place).prefix(2), radix: 16)
        }
        #expect(bytes.count == 32)
        return Data(bytes).base64EncodedString()
    }

    @Test func theSameRowsGiveTheSamePage() throws {
        func withoutPath(_ page: String) -> String {
            page.replacing(/page-tests-[0-9A-F-]+/, with: "")
        }
        #expect(withoutPath(try page(usualRows)) == withoutPath(try page(usualRows)))
    }

    /// A file named twice would narrow every interval.
    @Test func theSameRoundTwiceCountsOnce() throws {
        let once = try WellFormed(page(usualRows)).text
        let twice = try WellFormed(page(usualRows + usualRows)).text
        #expect(twice.contains("Left out, the same round of the same run again: 30 rows."))
        #expect(twice.contains("502–509 ns") && once.contains("502–509 ns"))
        #expect(!once.contains("Left out"))
    }

    /// What the page says of guest and devices is what the rows say.
    @Test func theMethodIsThatOfTheRows() throws {
        func method(_ change: (inout Row) -> Void) throws -> String {
            try WellFormed(page(usualRows.map { $0.with(change) })).text
        }
        #expect(
            try method { _ in }.contains("a few threads of the harness; the devices only write."))
        #expect(try method { $0.direction = "read" }.contains("the devices only read."))
        #expect(try method { $0.direction = "mixed:70" }.contains("the devices write and read."))
        let replayed = try method {
            ($0.guest, $0.trace, $0.inRequests, $0.outRequests) = ("trace", "t.csv", 5, 7)
        }
        #expect(replayed.contains("replay what a real one sent; the devices write and read."))
        #expect(replayed.contains("% of the write or read with perpage"))
        let served = try method {
            ($0.guest, $0.inRequests, $0.outRequests) = ("vhost-user", 0, 7)
        }
        #expect(served.contains("a real one, in a virtual machine; the devices only read."))
        #expect(served.contains("% of the read with perpage"))
    }

    // MARK: The environment

    @Test func theEnvironmentIsShownAsItIs() throws {
        let text = "{\"env\": \"0123456789abcdef\",\n  \"kernel\": \"6.1 <x>\"}\n"
        let parsed = try WellFormed(page(usualRows, environment: text))
        #expect(parsed.text.contains(text))
        #expect(!parsed.text.contains("not the one that the rows name"))
    }

    @Test func anotherRunsEnvironmentIsDoubted() throws {
        let parsed = try WellFormed(
            page(usualRows, environment: "{\"env\": \"0000000000000000\"}"))
        #expect(parsed.text.contains("not the one that the rows name"))
    }

    @Test func noEnvironmentOrTooMuchOfOneIsSaid() throws {
        let none = try WellFormed(page(usualRows)).text
        #expect(none.contains("Environment not shown") && none.contains("No such file"))
        let large = String(repeating: "x", count: (1 << 20) + 1)
        let tooMuch = try WellFormed(page(usualRows, environment: large)).text
        #expect(tooMuch.contains("Environment not shown") && tooMuch.contains("larger than 1 MiB"))
    }
}
