import Foundation
import Testing

extension EndToEnd {
    /// What a shell offers after the tabulator key.
    @Suite struct CompletionTests {
        /// The names an option's completion offers, as the parser describes itself; nil where there are none.
        private static func offered() throws -> [(option: String, names: [String]?)] {
            struct Description: Decodable {
                struct Command: Decodable { let arguments: [Argument] }
                struct Argument: Decodable {
                    struct Name: Decodable { let kind, name: String }
                    struct Completion: Decodable {
                        struct List: Decodable { let values: [String] }
                        let list: List?
                    }
                    let kind: String
                    let names: [Name]
                    let completionKind: Completion?
                }
                let command: Command
            }
            let text = try run("--experimental-dump-help").output
            let description = try JSONDecoder().decode(Description.self, from: Data(text.utf8))
            return description.command.arguments.filter { $0.kind == "option" }.map { argument in
                let name = argument.names.first { $0.kind == "long" }?.name ?? ""
                return ("--" + name, argument.completionKind?.list?.values)
            }
        }

        /// A refusal of a name lists the names there are: those, and no others, are offered.
        @Test func offersTheNamesThatAreTaken() throws {
            let options = try Self.offered()
            #expect(options.count { $0.names != nil } >= 12)
            for (option, names) in options where option != "--job" && option != "--output" {
                let refusal = try run("--dry-run", option, "?").errors
                let taken = refusal.firstMatch(of: /: unknown; .*there are (.*)\n/)?.1.split(
                    separator: ", ")
                #expect(names.map(Set.init) == taken.map { Set($0.map(String.init)) }, "\(option)")
            }
        }

        /// As bash does: the words so far, and the function that the script has registered.
        private func completions(_ words: String..., in directory: String = "/") throws -> [String]
        {
            let script = """
                cd "$1"; source <("$0" --generate-completion-script bash); shift
                COMP_WORDS=(dma-bench "$@"); COMP_CWORD=$#
                COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
                $(complete -p dma-bench | sed 's/.*-F \\([^ ]*\\).*/\\1/') \\
                    dma-bench "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
                printf '%s\\n' "${COMPREPLY[@]}"
                """
            let bash = Process()
            bash.executableURL = URL(filePath: "/bin/bash")
            bash.arguments = ["-c", script, Run.program, directory] + words
            let output = Pipe()
            bash.standardOutput = output
            try bash.run()
            let text = String(
                decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            bash.waitUntilExit()
            return text.split(separator: "\n").map(String.init).sorted()
        }

        @Test func bashCompletesNamesOptionsAndFiles() throws {
            #expect(try completions("--engine", "") == ["copy", "file", "memset", "nt", "stosq"])
            #expect(
                try completions("--strategy", "pe") == ["perpage", "perpage-swar"])
            #expect(try completions("--dry") == ["--dry-run"])
            #expect(try completions("st") == ["strategies"])
            let directory = try TemporaryDirectory()
            try writeFile(directory.file("rows.csv"), "")
            for option in ["-o", "--job", "--raw"] {
                #expect(try completions(option, "ro", in: directory.path) == ["rows.csv"])
            }
        }
    }
}
