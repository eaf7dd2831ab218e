/// Reads one JSON object of scalars (RFC 8259), as `Format.jsonl` writes a row.
struct JSONLineReader {
    struct Malformed: Error, Equatable {}

    private let bytes: ArraySlice<UInt8>
    private var index: Int

    /// The names and values in their order; null is empty, and every other value the text that CSV would hold.
    static func members(_ line: ArraySlice<UInt8>) throws(Malformed) -> [(
        name: String, text: String
    )] {
        var reader = JSONLineReader(bytes: line, index: line.startIndex)
        var members: [(name: String, text: String)] = []
        try reader.expect("{")
        repeat {
            let name = try reader.string()
            try reader.expect(":")
            members.append((name, try reader.scalar()))
        } while reader.take(",")
        try reader.expect("}")
        reader.skipSpace()
        guard reader.index == line.endIndex else { throw Malformed() }
        return members
    }

    private mutating func skipSpace() {
        while index < bytes.endIndex, [0x20, 0x09, 0x0D].contains(bytes[index]) { index += 1 }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        skipSpace()
        guard index < bytes.endIndex, bytes[index] == UInt8(ascii: scalar) else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ scalar: Unicode.Scalar) throws(Malformed) {
        guard take(scalar) else { throw Malformed() }
    }

    private mutating func scalar() throws(Malformed) -> String {
        skipSpace()
        guard index < bytes.endIndex else { throw Malformed() }
        if bytes[index] == UInt8(ascii: "\"") { return try string() }
        let word = bytes[index...].prefix { ![0x2C, 0x7D, 0x20, 0x09, 0x0D].contains($0) }
        index = word.endIndex
        guard let text = String(validating: word, as: UTF8.self) else { throw Malformed() }
        if text == "null" { return "" }
        if text == "true" || text == "false" { return text }
        let number = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+\-]?[0-9]+)?/
        guard text.wholeMatch(of: number) != nil else { throw Malformed() }
        return text
    }

    private mutating func string() throws(Malformed) -> String {
        try expect("\"")
        var content: [UInt8] = []
        while index < bytes.endIndex {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw Malformed()
                }
                return text
            case UInt8(ascii: "\\"): content += Array(String(try escaped()).utf8)
            case ..<0x20: throw Malformed()
            default: content.append(byte)
            }
        }
        throw Malformed()
    }

    private mutating func escaped() throws(Malformed) -> Character {
        guard index < bytes.endIndex else { throw Malformed() }
        defer { index += 1 }
        switch bytes[index] {
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "u"):
            let digits = bytes[(index + 1)...].prefix(4)
            index += 4
            // Pairs of surrogates are not written by anything that writes rows.
            guard digits.count == 4,
                let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(code)
            else { throw Malformed() }
            return Character(scalar)
        case let byte where "\"\\/".utf8.contains(byte): return Character(Unicode.Scalar(byte))
        default: throw Malformed()
        }
    }
}
