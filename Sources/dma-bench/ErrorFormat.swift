import DmaReport
import Experiment

/// How the line about an error is written: for people, or as one JSON object for scripts.
enum ErrorFormat: String, CaseIterable {
    case text
    case json

    private static let option = "--errors"

    /// What the command line asks for, however malformed the rest of it is.
    static let stated: ErrorFormat = {
        var arguments = CommandLine.arguments
        return (try? take(from: &arguments)) ?? .text
    }()

    /// Takes `--errors FORMAT` out of the arguments, so that every subcommand has it; the last one counts.
    @discardableResult
    static func take(from arguments: inout [String]) throws(Failure) -> ErrorFormat {
        let names = try arguments.takeValues(of: option, or: "name a format, text or json")
        do throws(UsageError) {
            return try names.map { name throws(UsageError) in
                try Choice.named(
                    name, option: option, among: allCases.map { ($0.rawValue, $0) })
            }.last ?? .text
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    func line(_ failure: Failure) -> String {
        switch self {
        case .text: "dma-bench: \(Text.printable(failure.text))"
        case .json:
            JSON.object([
                JSON.Member("error", .string(failure.text)),
                JSON.Member("status", JSON(failure.status.rawValue)),
                JSON.Member("kind", .string(failure.status.kind)),
            ]).compact
        }
    }
}

extension [String] {
    /// Takes `NAME VALUE` and `NAME=VALUE` out, wherever they stand, and returns the values in order.
    ///
    /// Throws a usage error that ends with `advice` where the last value is missing.
    mutating func takeValues(of name: String, or advice: String) throws(Failure) -> [String] {
        var (values, rest): ([String], [String]) = ([], [])
        var words = makeIterator()
        while let word = words.next() {
            if word == name {
                guard let value = words.next() else {
                    throw Failure(.usage, "\(name): \(advice)")
                }
                values.append(value)
            } else if word.hasPrefix(name + "=") {
                values.append(String(word.dropFirst(name.count + 1)))
            } else {
                rest.append(word)
            }
        }
        self = rest
        return values
    }
}
