@testable import DmaReport

/// A reader of RFC 4180 that takes nothing else: every quote in its place, every line ended.
enum StrictCSV {
    struct Malformed: Error {
        let position: Int
    }

    static func parse(_ text: String) throws -> [[String]] {
        var records: [[String]] = []
        var record: [String] = []
        var field = ""
        var isQuoted = false
        var isClosed = false
        var isEmpty = true
        let scalars = Array(text.unicodeScalars)
        var index = 0
        while index < scalars.count {
            let scalar = scalars[index]
            if isQuoted {
                if scalar != "\"" {
                    field.unicodeScalars.append(scalar)
                } else if index + 1 < scalars.count, scalars[index + 1] == "\"" {
                    field += "\""
                    index += 1
                } else {
                    (isQuoted, isClosed) = (false, true)
                }
            } else {
                switch scalar {
                case "\"":
                    guard isEmpty else { throw Malformed(position: index) }
                    isQuoted = true
                    isEmpty = false
                case ",", "\n":
                    record.append(field)
                    (field, isClosed, isEmpty) = ("", false, true)
                    if scalar == "\n" {
                        records.append(record)
                        record = []
                    }
                default:
                    guard !isClosed, scalar != "\r" else { throw Malformed(position: index) }
                    field.unicodeScalars.append(scalar)
                    isEmpty = false
                }
            }
            index += 1
        }
        guard record.isEmpty, isEmpty, !isQuoted else { throw Malformed(position: index) }
        return records
    }
}

/// A reader of one JSON object of scalars on one line (RFC 8259), as strict.
struct StrictJSONLine {
    struct Malformed: Error {
        let position: Int
    }

    private let scalars: [Unicode.Scalar]
    private var index = 0

    static func parse(_ line: String) throws -> [JSON.Member] {
        var reader = StrictJSONLine(scalars: Array(line.unicodeScalars))
        var members: [JSON.Member] = []
        try reader.expect("{")
        repeat {
            let name = try reader.string()
            try reader.expect(":")
            members.append(JSON.Member(name, try reader.scalar()))
        } while reader.take(",")
        try reader.expect("}")
        try reader.expect("\n")
        guard reader.index == reader.scalars.count else { throw Malformed(position: reader.index) }
        return members
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard index < scalars.count, scalars[index] == scalar else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ text: String) throws {
        for scalar in text.unicodeScalars where !take(scalar) { throw Malformed(position: index) }
    }

    private mutating func scalar() throws -> JSON {
        if index < scalars.count, scalars[index] == "\"" { return .string(try string()) }
        var word = ""
        while index < scalars.count, scalars[index] != ",", scalars[index] != "}" {
            word.unicodeScalars.append(scalars[index])
            index += 1
        }
        switch word {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        default:
            let number = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+\-]?[0-9]+)?/
            guard word.wholeMatch(of: number) != nil else { throw Malformed(position: index) }
            return .number(word)
        }
    }

    private mutating func string() throws -> String {
        try expect("\"")
        var text = ""
        while !take("\"") {
            guard index < scalars.count, scalars[index].value >= 32 else {
                throw Malformed(position: index)
            }
            if take("\\") {
                text.unicodeScalars.append(try escaped())
            } else {
                text.unicodeScalars.append(scalars[index])
                index += 1
            }
        }
        return text
    }

    private mutating func escaped() throws -> Unicode.Scalar {
        let plain: [Unicode.Scalar: Unicode.Scalar] = [
            "\"": "\"", "\\": "\\", "n": "\n", "r": "\r", "t": "\t",
        ]
        guard index < scalars.count else { throw Malformed(position: index) }
        let kind = scalars[index]
        index += 1
        if let scalar = plain[kind] { return scalar }
        guard kind == "u", index + 4 <= scalars.count else { throw Malformed(position: index) }
        let digits = String(String.UnicodeScalarView(scalars[index..<index + 4]))
        index += 4
        guard let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) else {
            throw Malformed(position: index)
        }
        return scalar
    }
}
