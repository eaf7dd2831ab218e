import DmaReport

/// A file that a report is about, and what is known of the machine that it comes from.
public struct ReportSource: Sendable {
    public let file: RowFile
    /// The text of FILE.env.json; or why there is none.
    let environment: Result<String, InputError>

    /// The environment of a machine with hundreds of processors is far smaller.
    private static let environmentLimit = 1 << 20

    /// Reads `path` and what lies beside it; only rows that cannot be read are an error.
    public static func read(_ path: String) throws(InputError) -> ReportSource {
        let file = try RowFile.read(path)
        let name = Environment.path(beside: path)
        do throws(InputError) {
            let bytes = try InputFile.read(name, limit: environmentLimit)
            let text = String(decoding: bytes, as: UTF8.self)
            return ReportSource(file: file, environment: .success(text))
        } catch {
            return ReportSource(file: file, environment: .failure(error))
        }
    }
}
