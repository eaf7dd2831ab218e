import DmaReport
import Foundation
import Testing

/// The page in a browser: that its script runs, and that nothing else happens.
@Suite(
    .serialized,
    .enabled(if: Browser.path != nil, "no chromium here; scripts/setup check installs it")
)
struct BrowserTests {
    @Test func thePageIsQuietAndItsScriptRuns() throws {
        let seen = try Browser.open(page(usualRows))
        #expect(seen.console == [])
        #expect(seen.document.contains("costs 9.7 % of the write with perpage"))
        #expect(seen.document.contains("<button type=\"button\">sync share</button>"))
    }

    /// What the test above would not see were there no such lines: a picture from elsewhere, a foreign script.
    @Test func whatThePolicyForbidsIsTold() throws {
        let fetching = try page(usualRows).replacingOccurrences(
            of: "</main>", with: "<img src=\"http://127.0.0.1:9/x.png\" alt=\"\" /></main>")
        let fetched = try Browser.open(fetching)
        #expect(fetched.console.contains { $0.contains("Content Security Policy") })

        let foreign = try Browser.open(
            page(usualRows).replacingOccurrences(of: "\"use strict\";", with: "\"use  strict\";"))
        #expect(foreign.console.contains { $0.contains("Content Security Policy") })
        #expect(!foreign.document.contains("<button"))
    }

    /// A copy of the page whose policy is gone, with a script that presses a title so many times.
    private func order(pressing title: String, times: Int) throws -> [String] {
        let missing = Row.planned("kernelpin", status: .unavailable("no io_uring"))
        let press = """
            <script>
            Array.from(document.querySelectorAll("#cells th button"))
              .filter(function (button) { return button.textContent === "\(title)"; })
              .forEach(function (button) {
                for (let n = 0; n !== \(times); n += 1) { button.click(); }
              });
            document.title = Array.from(document.querySelectorAll("#cells tbody th"))
              .map(function (cell) { return cell.firstChild.textContent.trim(); }).join(" ");
            </script></body>
            """
        let copy = try page(usualRows + [missing])
            .replacing(/<meta http-equiv[^>]*>/, with: "")
            .replacingOccurrences(of: "</body>", with: press)
        let seen = try Browser.open(copy)
        #expect(seen.console == [])
        let shown = try #require(seen.document.firstMatch(of: /<title>([^<]*)</)).1
        return shown.split(separator: " ").map(String.init)
    }

    @Test func titlesSort() throws {
        #expect(
            try order(pressing: "pin", times: 0) == ["none", "rangetree", "perpage", "kernelpin"])
        #expect(
            try order(pressing: "pin", times: 2) == ["perpage", "rangetree", "none", "kernelpin"])
        #expect(
            try order(pressing: "strategy", times: 1)
                == ["kernelpin", "none", "perpage", "rangetree"])
        #expect(
            try order(pressing: "violations", times: 2)
                == ["none", "rangetree", "perpage", "kernelpin"])
    }
}

enum Browser {
    struct View {
        /// What the document has become.
        let document: String
        /// What pages and their policies complain about.
        let console: [String]
    }

    static let path = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    /// Shows a page with its own profile, and waits until nothing moves; gives up after a minute.
    static func open(_ page: String) throws -> View {
        let directory = NSTemporaryDirectory() + "browser-tests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let (file, output, errors) = (
            directory + "/page.html", directory + "/document", directory + "/errors"
        )
        try page.write(toFile: file, atomically: false, encoding: .utf8)
        for name in [output, errors] { try Data().write(to: URL(fileURLWithPath: name)) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments = [
            "--kill-after=5", "60", path!, "--headless", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--user-data-dir=\(directory)/profile",
            "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom",
            "file://" + file,
        ]
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        try process.run()
        process.waitUntilExit()
        let said = try String(contentsOfFile: errors, encoding: .utf8).split(separator: "\n")
        try #require(process.terminationStatus == 0, "\(said.suffix(5))")
        return View(
            document: try String(contentsOfFile: output, encoding: .utf8),
            console: said.filter { $0.contains(":CONSOLE") }.map(String.init))
    }
}
