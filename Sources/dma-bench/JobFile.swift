import Experiment
import Report

/// A run written down: the options of the command line, one `name value` a line, `#` before a comment.
///
/// A flag stands alone. What the command line says as well wins over the file.
enum JobFile {
    static let option = "--job"
    private static let byteLimit = 1 << 20

    /// The arguments with each `--job FILE` replaced by what the file says, before the others.
    static func expand(_ arguments: [String]) throws -> [String] {
        var rest: [String] = []
        var jobs: [String] = []
        var index = arguments.startIndex
        while index < arguments.endIndex {
            let argument = arguments[index]
            if argument == option {
                index += 1
                guard index < arguments.endIndex else {
                    throw Failure(.usage, "--job: name a file, as in --job seeds/well-behaved.job")
                }
                jobs += try self.arguments(ofFile: arguments[index])
            } else if argument.hasPrefix(option + "=") {
                jobs += try self.arguments(ofFile: String(argument.dropFirst(option.count + 1)))
            } else {
                rest.append(argument)
            }
            index += 1
        }
        return jobs + rest
    }

    private static func arguments(ofFile path: String) throws -> [String] {
        var arguments: [String] = []
        for (index, line) in try read(path).split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            let text = line.prefix { $0 != "#" }
            let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" })
            guard let name = words.first else { continue }
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
