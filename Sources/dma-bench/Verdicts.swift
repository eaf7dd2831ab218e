import Analysis
import ArgumentParser
import DmaReport
import Experiment
import Glibc

/// What `compare` and `ab` have in common: what is compared, and what becomes of the answer.
enum Verdicts {
    static func metrics(_ text: String) throws(UsageError) -> [Metric] {
        try Quantity.list(text, option: "--metric") { name throws(UsageError) in
            try Choice.named(name, option: "--metric", among: Metric.all.map { ($0.name, $0) })
        }
    }

    static func threshold(_ text: String?) throws(UsageError) -> Double? {
        guard let text else { return nil }
        guard text.hasSuffix("%"), let number = Double(text.dropLast()), number.isFinite,
            number >= 0
        else { throw UsageError("--fail-on \(text): write a percentage, as in 5%") }
        return number / 100
    }

    static func format(_ text: String?) throws(UsageError) -> Format {
        try Choice.named(
            text ?? "table", option: "--format", among: Format.allCases.map { ($0.rawValue, $0) })
    }

    /// Prints the comparison; throws what it comes to. `subject` is what was compared.
    static func tell(
        _ comparison: Comparison, of subject: String, _ format: Format, failOn: String?
    ) throws {
        // Where there is no terminal, no line is too long.
        let width = Terminal.width(of: STDOUT_FILENO) ?? .max
        try Status.print(comparison.text(format, width: width))
        if format == .csv || format == .jsonl { comparison.notes.forEach(Status.say) }
        guard !comparison.cells.isEmpty else {
            throw Failure(
                .usage,
                "\(subject): nothing to compare; name files of the same plan, or another --metric or --col"
            )
        }
        if let first = comparison.violations.first {
            throw Failure(
                .safetyViolation,
                "\(comparison.violations.count) new with violations by a strategy that claims safety; first: \(first)"
            )
        }
        guard let failOn else { return }
        if let reason = comparison.reasonForNoVerdict {
            throw Failure(.usage, "--fail-on \(failOn): nothing could ever fail: \(reason)")
        }
        let regressions = comparison.cells.filter(\.isRegression)
        guard let first = regressions.first else { return }
        throw Failure(
            .regression,
            "\(regressions.count) of \(comparison.cells.count) comparisons slower by more than \(failOn); first: \(comparison.describe(first))"
        )
    }
}
