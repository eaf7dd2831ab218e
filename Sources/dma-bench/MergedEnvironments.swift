import DmaReport

/// What lies beside files of rows, taken together: the environments of their runs, each once.
///
/// One stays what it is; several are a JSON array.
struct MergedEnvironments {
    private var texts: [String] = []
    /// The files without an environment.
    private(set) var missing: [String] = []

    /// The environment of a machine with hundreds of processors is far smaller.
    private static let byteLimit = 1 << 24

    init(of files: [String]) {
        for file in files {
            let path = Environment.path(beside: file)
            guard let bytes = try? InputFile.read(path, limit: Self.byteLimit) else {
                missing.append(file)
                continue
            }
            let text = Self.members(String(decoding: bytes, as: UTF8.self))
            if !texts.contains(text) { texts.append(text) }
        }
    }

    /// Of what was merged before, without the brackets.
    private static func members(_ text: String) -> String {
        let lines = text.split(separator: "\n")
        guard lines.first == "[", lines.last == "]" else { return lines.joined(separator: "\n") }
        return lines.dropFirst().dropLast().joined(separator: "\n")
    }

    /// Writes nothing where none is known.
    func write(to path: String) throws(OutputError) {
        guard let first = texts.first else { return }
        let isOne = texts.count == 1 && first.hasPrefix("{")
        let text = texts.joined(separator: ",\n")
        try OutputFile.replace(path, with: Array((isOne ? text + "\n" : "[\n\(text)\n]\n").utf8))
    }
}
