import DmaLinux
import Foundation
import Testing

extension EndToEnd {
    /// What makes no sense, or what the machine lacks: one line that says what to do, and a status to rely on.
    @Suite struct RefusalTests {
        private static let usage: [[String]] = [
            ["--size", "0"], ["--size", "3K"], ["--size", "5K"], ["--size", "1GB"],
            ["--size", "-1"], ["--size", "abc"], ["--size", ""], ["--size", "1X"],
            ["--size", "17T"], ["--size", "99999999T"], ["--size", "1G,,2G"],
            ["--size", "4K..1G"], ["--size", "1G..4K:x2"], ["--size", "4K..8K:x1"],
            ["--size", "16T"], ["--size"], ["--size", "4K\n8K"], ["--size", "4K..8K:+0"],
            ["--convert-rate", "0..1000:x10"], ["--ops", "4", "--seconds", "1"],
            ["--strategy", "rangetre"], ["--strategy", "foo"], ["--strategy", ""],
            ["--policy", "revoke"], ["--policy", "revoke", "--strategy", "longlived,perpage"],
            ["--policy", "maybe"], ["--engine", "nth"], ["--entry", "4k"],
            ["--convert-where", "outsid"], ["--notify", "irq"], ["--format", "xml"],
            ["--color", "yes"], ["--backing", "memory"],
            ["--devices", "0"], ["--devices", "64"], ["--rounds", "0"], ["--rounds", "ten"],
            ["--ops", "0"], ["--lanes", "65"], ["--seconds", "0"], ["--seconds", "nan"],
            ["--seconds", "1e9"], ["--seed", "-1"], ["--convert-rate", "-5"],
            ["--convert-rate", "10000001"], ["--convert-pages", "0"], ["--misalign", "x"],
            ["--memory-node", "1024"], ["--device-cpu", "1024"],
            ["--device-cpu", "1023", "--size", "4M"], ["--vcpu-cpu", "1023", "--size", "4M"],
            ["--size", "4M", "--chunk", "8M"], ["--size", "4M", "--ranges", "3"],
            ["--size", "1G", "--ranges", "65536"], ["--size", "4M", "--guest-memory", "4M"],
            ["--size", "4M", "--convert-where", "inside", "--convert-pages", "1025"],
            ["--pool", "0"], ["--pool", "5K"], ["--strategy", "bounce", "--policy", "revoke"],
            ["--strategy", "bounce", "--size", "8G", "--pool", "4K"],
            ["--strategy", "bounce", "--size", "4M", "--guest-memory", "70M"],
            ["--strategy", "none,bounce", "--size", "8T", "--no-write"],
            ["--bogus"], ["-x"], ["unexpected"], ["strategies", "unexpected"],
            ["schema", "--bogus"], ["device"], ["--buffers", "samey"], ["--enforce", "cpu"],
            ["--on-fault", "ignore"], ["--convert-to", "nothing"],
            ["--strategy", "bounce", "--devices", "2", "--buffers", "same"],
            ["--pin-limit", "0"], ["--pin-limit", "5K"], ["--pin-limit", "1G"],
            ["--pin-limit", "64M", "--size", "64M", "--devices", "4"],
            ["--pin-limit", "1M", "--size", "4M", "--strategy", "longlived"],
            ["--pin-limit", "1M", "--size", "4M", "--strategy", "bounce"],
            ["--pin-limit", "4K", "--size", "4K"],
            ["--dma-rate", "0"], ["--dma-rate", "fast"], ["--dma-arrivals", "fixed"],
            ["--dma-rate", "9", "--dma-arrivals", "even"], ["--depth", "0"], ["--depth", "257"],
            ["--depth", "2", "--strategy", "none,bounce"], ["--idle", "5"],
            ["--idle", "61s"], ["--idle", "1ms", "--dma-rate", "9"],
            ["--idle", "0,1ms", "--depth", "2"],
            ["--direction", "reed"], ["--direction", "mixed"], ["--direction", "mixed:100"],
            ["--read-engine", "copy"], ["--direction", "read", "--no-write"],
            ["--direction", "write,read", "--enforce", "mmu"],
            ["--backing", "hugetlb-2m", "--convert-to", "free"], ["device", "64", "1", "any"],
        ]
        private static let unavailable: [[String]] = [
            ["--direction", "read", "--size", "4M", "--strategy", "fault"],
            ["--size", "15T"], ["--size", "4T", "--devices", "3"], ["--size", "15T", "--no-write"],
        ]
        private static let inputOutput: [[String]] = [
            ["--size", "4M", "-o", "/nonexistent/rows.csv"], ["--size", "4M", "-o", "/"],
            ["--size", "4M", "--raw", "/nonexistent/raw.csv"],
        ]

        private static let kinds: [(cases: [[String]], status: Int32, name: String)] = [
            (usage, 64, "usage"), (unavailable, 69, "unavailable"), (inputOutput, 74, "io"),
        ]

        @Test func messagesAreGolden() throws {
            var transcript = ""
            for (cases, status, _) in Self.kinds {
                for arguments in cases {
                    let outcome = try Run(arguments).finish()
                    expectOneLine(outcome, status: status, arguments)
                    let words = arguments.map {
                        $0.isEmpty ? "''" : $0.replacing("\n", with: "\\n")
                    }.joined(separator: " ")
                    transcript += "$ dma-bench \(words)\n"
                    transcript += Self.withoutMachine(outcome.errors) + "[\(status)]\n\n"
                }
            }
            try Golden.expect(transcript, is: "refusals.txt")
        }

        @Test func messagesAreTheSameAsJSON() throws {
            for (cases, status, name) in Self.kinds {
                for arguments in cases {
                    let text = try Run(arguments).finish().errors
                    let outcome = try Run(arguments + ["--errors", "json"]).finish()
                    #expect(outcome.end == .exited(status) && outcome.output == "", "\(arguments)")
                    let object = try jsonLine(outcome.errors)
                    #expect(object.count == 3, "\(object)")
                    let error = try #require(object["error"] as? String)
                    let line = "dma-bench: \(error.replacing("\n", with: " "))\n"
                    #expect(Self.withoutMachine(line) == Self.withoutMachine(text))
                    #expect(object["status"] as? Int32 == status)
                    #expect(object["kind"] as? String == name)
                }
            }
        }

        /// The members of the one object on the one line.
        private func jsonLine(_ text: String) throws -> [String: Any] {
            try #require(text.hasSuffix("\n") && text.count { $0 == "\n" } == 1, "\(text)")
            let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
            return try #require(value as? [String: Any])
        }

        /// In any place, of any subcommand, and where the parser would take it for another option's value.
        @Test(arguments: [
            ["--errors", "json", "--bogus"], ["--bogus", "--errors=json"],
            ["schema", "--errors", "json", "--bogus"], ["--size", "--errors", "json"],
            ["--errors", "text", "--bogus", "--errors", "json"],
            ["--errors", "json", "--job", "/nonexistent.job"],
        ])
        func theFormOfErrorsIsFoundAnywhere(_ arguments: [String]) throws {
            let outcome = try Run(arguments).finish()
            #expect(outcome.end == .exited(64))
            #expect(try jsonLine(outcome.errors)["kind"] as? String == "usage")
        }

        @Test(arguments: [["--errors", "xml"], ["--errors"], ["--errors="]])
        func anUnknownFormOfErrorsIsTold(_ arguments: [String]) throws {
            expectOneLine(try Run(arguments).finish(), status: 64, arguments)
        }

        /// They have been taken before a job is read, which would otherwise have them without effect.
        @Test(arguments: ["errors json", "job other.job"])
        func aJobHoldsNothingOfTheCommandLine(_ line: String) throws {
            let directory = try TemporaryDirectory()
            let job = directory.file("some.job")
            try writeFile(job, "size 4M # fine\n\(line)\n")
            let outcome = try run("--job", job, "--dry-run")
            expectOneLine(outcome, status: 64, [line])
            #expect(outcome.errors.hasPrefix("dma-bench: \(job), line 2: "))
            try writeFile(job, "size 4M\n")
            #expect(try run("--job", job, "--dry-run").end == .exited(0))
        }

        private func expectOneLine(
            _ outcome: Run.Outcome, status: Int32, _ arguments: [String],
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(
                outcome.end == .exited(status), "\(arguments): \(outcome.errors)",
                sourceLocation: sourceLocation)
            #expect(outcome.output == "", "\(arguments)", sourceLocation: sourceLocation)
            #expect(
                outcome.errors.hasPrefix("dma-bench: ") && outcome.errors.hasSuffix("\n")
                    && outcome.errorLines.count == 1,
                "\(arguments): \(outcome.errors)", sourceLocation: sourceLocation)
        }

        /// What differs from one machine to another, replaced by what it is.
        private static func withoutMachine(_ text: String) -> String {
            text.replacing(/run on CPU [0-9, ]+;/, with: "run on CPU <numbers>;")
                .replacing(
                    /metadata needs [0-9.]+ [KMGT]iB/, with: "metadata needs <bytes>"
                )
                .replacing(
                    /[0-9.]+ [KMGT]iB are available \(.*?\)/,
                    with: "<bytes> are available (<limit>)")
        }

        /// An option that nothing looks at is a mistake; the same strategy beside the one that does is none.
        @Test(arguments: [
            ("--on-fault", "retry", "fault"), ("--pool", "1M", "bounce"),
            ("--cache", "1M", "pincache"),
        ])
        func ofAnOptionThatNoStrategyUses(option: String, value: String, user: String) throws {
            let plan = ["--dry-run", "--size", "4M"]
            let unused = try Run(plan + ["--strategy", "none,rangetree", option, value]).finish()
            expectOneLine(unused, status: 64, [option])
            #expect(
                unused.errors
                    == "dma-bench: \(option) \(value): none of the strategies uses it; "
                    + "\(user) does (--strategy \(user))\n")
            for arguments in [
                ["--strategy", "none,\(user)", option, value], ["--strategy", "none,rangetree"],
            ] {
                let outcome = try Run(plan + arguments).finish()
                #expect(outcome.end == .exited(0) && outcome.errors == "", "\(arguments)")
            }
        }

        @Test func ofANodeNamesTheNodes() throws {
            let outcome = try run("--size", "4M", "--memory-node", "1023")
            expectOneLine(outcome, status: 64, ["--memory-node", "1023"])
            #expect(outcome.errors.hasPrefix("dma-bench: --memory-node 1023: "))
        }

        // MARK: What the machine lacks

        private static let pools = "/sys/kernel/mm/hugepages/hugepages-"
        private static let shmemHuge = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

        private static func isEmptyPool(_ kilobytes: Int) -> Bool {
            let counts = ["free_hugepages", "nr_overcommit_hugepages"].map {
                readFile("\(pools)\(kilobytes)kB/\($0)")
            }
            return counts.allSatisfy { $0 == "0\n" }
        }

        @Test(
            .enabled("this machine has huge pages of 2 MiB, or no pool for them") {
                isEmptyPool(2048)
            })
        func ofMissingHugePagesNamesTheCommand() throws {
            let outcome = try run("--size", "4M", "--backing", "hugetlb-2m")
            expectOneLine(outcome, status: 69, ["hugetlb-2m"])
            let command = /; echo \d+ \| sudo tee \/sys\/\S+2048kB\/nr_hugepages\n/
            #expect(outcome.errors.contains(command), "\(outcome.errors)")
        }

        @Test(
            .enabled("this machine has huge pages of 1 GiB, or no pool for them") {
                isEmptyPool(1_048_576)
            })
        func ofMissingGiantPagesNamesTheCommand() throws {
            let outcome = try run("--size", "4M", "--backing", "hugetlb-1g")
            expectOneLine(outcome, status: 69, ["hugetlb-1g"])
            let command = /; echo \d+ \| sudo tee \/sys\/\S+1048576kB\/nr_hugepages, or start/
            #expect(outcome.errors.contains(command), "\(outcome.errors)")
        }

        @Test(
            .enabled("this machine backs shared memory by transparent huge pages") {
                let switches = readFile(shmemHuge)
                return switches.contains("[never]") || switches.contains("[deny]")
            })
        func ofTransparentHugePagesNamesTheCommand() throws {
            let outcome = try run("--size", "4M", "--backing", "thp")
            expectOneLine(outcome, status: 69, ["thp"])
            #expect(
                outcome.errors.contains(/; echo advise \| sudo tee \/sys\/\S+shmem_enabled\n/),
                "\(outcome.errors)")
        }
    }
}
