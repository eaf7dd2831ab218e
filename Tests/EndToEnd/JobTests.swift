import Testing

extension EndToEnd {
    /// The jobs that come with the program: each is one it takes, and is told of beside them.
    @Suite struct JobTests {
        private static let seeds =
            #filePath.split(separator: "/", omittingEmptySubsequences: false)
            .dropLast(3).joined(separator: "/") + "/seeds"
        private static let jobs = names(in: seeds).filter { $0.hasSuffix(".job") }

        @Test(arguments: jobs)
        func theProgramTakesIt(_ job: String) throws {
            let plan = try run("--job", "\(Self.seeds)/\(job)", "--dry-run")
            #expect(plan.end == .exited(0) && plan.errors == "")
            #expect(plan.output.contains(" cells x 10 rounds = "))
        }

        @Test func theReadMeNamesThemAll() {
            let text = readFile(Self.seeds + "/README.md")
            #expect(Self.jobs.count >= 14)
            for job in Self.jobs { #expect(text.contains("`\(job)`"), "\(job)") }
        }
    }
}
