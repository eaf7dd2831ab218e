import DmaReport
import Experiment

/// A run written down: the options of the command line, one `name value` a line, `#` before a comment.
///
/// A flag stands alone. What the command line says as well wins over the file.
enum JobFile {
    static let option = "--job"
    private static let byteLimit = 1 << 20
    /// Taken from the arguments before any job is read.
    private static let commandLineOnly = ["job", "errors"]

    /// The arguments with each `--job FILE` replaced by what the file says, before the others.
    static func expand(_ arguments: [String]) throws -> [String] {
        var rest = arguments
        let jobs = try rest.takeValues(
            of: option, or: "name a file, as in --job seeds/well-behaved.job")
        return try jobs.flatMap { try self.arguments(of: read($0), in: $0) } + rest
    }

    /// The arguments that `job` stands for, a text from `path`.
    static func arguments(of job: String, in path: String) throws -> [String] {
        var arguments: [String] = []
        for (index, line) in job.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            let text = line.prefix { $0 != "#" }
            let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" })
            guard let name = words.first else { continue }
            guard !commandLineOnly.contains(String(name)) else {
                throw Failure(
                    .usage, "\(path), line \(index + 1): \(name) belongs on the command line")
            }
            let option = ["--" + name] + words.dropFirst().joined(separator: " ").asOptionValue
            do {
                // Each line on its own, so that an error has a place.
                _ = try DmaBench.parse(option)
            } catch {
                throw Failure(.usage, "\(path), line \(index + 1): \(DmaBench.message(for: error))")
            }
            arguments += option
        }
        return arguments
    }

    private static func read(_ path: String) throws -> String {
        do throws(InputError) {
            return String(
                decoding: try InputFile.read(path, limit: byteLimit), as: UTF8.self)
        } catch {
            throw Failure(.usage, "--job \(error)")
        }
    }
}

extension String {
    fileprivate var asOptionValue: [String] { isEmpty ? [] : [self] }
}
