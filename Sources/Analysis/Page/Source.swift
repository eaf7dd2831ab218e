import DmaReport

extension ReportPage {
    /// A file that the page is about, and what is known of the machine that it comes from.
    public struct Source: Sendable {
        public let file: RowFile
        /// The text of FILE.env.json; or why there is none.
        let environment: Result<String, InputError>

        /// The environment of a machine with hundreds of processors is far smaller.
        private static let environmentLimit = 1 << 20

        /// Reads `path` and what lies beside it; only rows that cannot be read are an error.
        public static func read(_ path: String) throws(InputError) -> Source {
            let file = try RowFile.read(path)
            let name = Environment.path(beside: path)
            do throws(InputError) {
                let bytes = try InputFile.read(name, limit: environmentLimit)
                let text = String(decoding: bytes, as: UTF8.self)
                return Source(file: file, environment: .success(text))
            } catch {
                return Source(file: file, environment: .failure(error))
            }
        }
    }
}
