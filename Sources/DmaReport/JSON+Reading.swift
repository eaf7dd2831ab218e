extension JSON {
    /// More than any environment has: what is deeper is refused, so that no file exhausts the stack.
    private static let depthLimit = 32

    /// Nil of what is no JSON document, or a deeper one.
    package init?(reading bytes: [UInt8]) {
        var reader = JSONReader(bytes[...])
        do throws(JSONReader.Malformed) {
            self = try Self.value(&reader, depth: 0)
            try reader.end()
        } catch {
            return nil
        }
    }

    private static func value(
        _ reader: inout JSONReader, depth: Int
    ) throws(JSONReader.Malformed) -> JSON {
        guard depth < depthLimit else { throw JSONReader.Malformed() }
        if reader.next(is: "\"") { return .string(try reader.string()) }
        if reader.take("[") {
            var values: [JSON] = []
            if reader.take("]") { return .array(values) }
            repeat { values.append(try value(&reader, depth: depth + 1)) } while reader.take(",")
            try reader.expect("]")
            return .array(values)
        }
        if reader.take("{") {
            var members: [Member] = []
            if reader.take("}") { return .object(members) }
            repeat {
                let name = try reader.string()
                try reader.expect(":")
                members.append(Member(name, try value(&reader, depth: depth + 1)))
            } while reader.take(",")
            try reader.expect("}")
            return .object(members)
        }
        switch try reader.word() {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        case let digits: return .number(digits)
        }
    }

    /// The member of a name; nil where this is no object, or has none.
    package subscript(name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// A text or a number as text; nil of anything else, and of what could not be read.
    package var text: String? {
        switch self {
        case .string(let text): self == .missing ? nil : text
        case .number(let digits): digits
        case .null, .bool, .array, .object: nil
        }
    }
}
