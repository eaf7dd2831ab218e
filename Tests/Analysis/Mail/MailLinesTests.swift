import DmaLinux
import Testing

@testable import Analysis

/// A command in a mail, pasted into a shell, is the words that it was given, whatever is in them.
@Suite struct MailLinesTests {
    private func pasted(_ words: [String]) throws -> (text: String, words: [String]) {
        var mail = MailLines()
        mail.command(words)
        #expect(mail.lines.allSatisfy { line in !line.contains { $0 < " " } })
        let script = "printf '%s|' \(mail.text)"
        let shell = try Tool.run(["sh", "-c", script], input: []) { false }
        let output = String(decoding: shell.output, as: UTF8.self)
        return (
            mail.text,
            output.split(separator: "|", omittingEmptySubsequences: false).dropLast().map(
                String.init)
        )
    }

    @Test func aShellTakesEveryWordAsItIs() throws {
        let long = (1...40).map { "name\($0)" }.joined(separator: ",")
        let words = [
            "dma-bench", "--trace", "a b;touch x'$(id)`id`\\ #.csv", "--empty", "", "--glob", "*~",
            "--strategy", long, "--quoted", long.replacing(",", with: ", "), "--last",
        ]
        let (text, taken) = try pasted(words)
        #expect(taken == words, "\(text)")
    }

    @Test func nothingControlsATerminal() throws {
        let (text, taken) = try pasted(["dma-bench", "--trace", "x\u{1B}[31m\u{9B}1m\ny"])
        #expect(taken == ["dma-bench", "--trace", "x [31m 1m y"], "\(text)")
        var mail = MailLines()
        mail.heading("How much \u{1B}[31m \(String(repeating: "long ", count: 30))")
        #expect(!mail.text.contains("\u{1B}"))
        #expect(mail.text.split(separator: "\n").allSatisfy { $0.count <= MailLines.width })
    }
}
