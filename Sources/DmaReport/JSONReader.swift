/// Reads JSON (RFC 8259): one object of scalars, as `Format.jsonl` writes a row, or with `JSON(reading:)` a document.
struct JSONReader {
    struct Malformed: Error, Equatable {}

    private let bytes: ArraySlice<UInt8>
    private var index: Int

    init(_ bytes: ArraySlice<UInt8>) { (self.bytes, index) = (bytes, bytes.startIndex) }

    /// The names and values in their order; null is empty, and every other value the text that CSV would hold.
    static func members(_ line: ArraySlice<UInt8>) throws(Malformed) -> [(
        name: String, text: String
    )] {
        var reader = JSONReader(line)
        var members: [(name: String, text: String)] = []
        try reader.expect("{")
        repeat {
            let name = try reader.string()
            try reader.expect(":")
            members.append((name, try reader.scalar()))
        } while reader.take(",")
        try reader.expect("}")
        try reader.end()
        return members
    }

    private mutating func skipSpace() {
        while index < bytes.endIndex, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[index]) { index += 1 }
    }

    /// Nothing but space may follow.
    mutating func end() throws(Malformed) {
        skipSpace()
        guard index == bytes.endIndex else { throw Malformed() }
    }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        skipSpace()
        guard index < bytes.endIndex, bytes[index] == UInt8(ascii: scalar) else { return false }
        index += 1
        return true
    }

    mutating func expect(_ scalar: Unicode.Scalar) throws(Malformed) {
        guard take(scalar) else { throw Malformed() }
    }

    private mutating func scalar() throws(Malformed) -> String {
        if next(is: "\"") { return try string() }
        let text = try word()
        return text == "null" ? "" : text
    }

    mutating func next(is scalar: Unicode.Scalar) -> Bool {
        skipSpace()
        return index < bytes.endIndex && bytes[index] == UInt8(ascii: scalar)
    }

    /// `null`, `true`, `false` or the digits of a number.
    mutating func word() throws(Malformed) -> String {
        skipSpace()
        let ends: [UInt8] = [0x2C, 0x7D, 0x5D, 0x20, 0x09, 0x0A, 0x0D]
        let word = bytes[index...].prefix { !ends.contains($0) }
        index = word.endIndex
        guard let text = String(validating: word, as: UTF8.self) else { throw Malformed() }
        if ["null", "true", "false"].contains(text) { return text }
        let number = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+\-]?[0-9]+)?/
        guard text.wholeMatch(of: number) != nil else { throw Malformed() }
        return text
    }

    mutating func string() throws(Malformed) -> String {
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
