/// A JSON value whose members keep their order (RFC 8259).
///
/// Its scalars are also what a CSV field holds, so that a number has one spelling in every format.
public enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A finite number, as it is written.
    case number(String)
    case string(String)
    case array([JSON])
    case object([Member])

    /// A name and its value.
    public struct Member: Sendable, Equatable {
        public let name: String
        public let value: JSON

        public init(_ name: String, _ value: JSON) {
            self.name = name
            self.value = value
        }
    }

    /// Stands for what could not be read.
    package static let missing = JSON.string("n/a")

    /// All digits of an integer.
    public init(_ value: some BinaryInteger) { self = .number(String(value)) }

    /// The shortest digits that read back as the same value; null for NaN and infinity.
    public init(_ value: Double) {
        guard value.isFinite else {
            self = .null
            return
        }
        let digits = value.description
        self = .number(digits.hasSuffix(".0") ? String(digits.dropLast(2)) : digits)
    }

    /// On one line, without spaces.
    public var compact: String {
        var text = ""
        write(to: &text, indentation: nil)
        return text
    }

    /// Over several lines, indented by two spaces, for people.
    public var pretty: String {
        var text = ""
        write(to: &text, indentation: 0)
        return text + "\n"
    }

    private func write(to text: inout String, indentation: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let digits): text += digits
        case .string(let value): Self.quote(value, to: &text)
        case .array(let values):
            Self.list("[", values, "]", to: &text, indentation) { value, text, deeper in
                value.write(to: &text, indentation: deeper)
            }
        case .object(let members):
            Self.list("{", members, "}", to: &text, indentation) { member, text, deeper in
                Self.quote(member.name, to: &text)
                text += deeper == nil ? ":" : ": "
                member.value.write(to: &text, indentation: deeper)
            }
        }
    }

    private static func list<Element>(
        _ open: String, _ elements: [Element], _ close: String, to text: inout String,
        _ indentation: Int?, write: (Element, inout String, Int?) -> Void
    ) {
        let deeper = indentation.map { $0 + 2 }
        func newLine(_ column: Int?) -> String {
            column.map { "\n" + String(repeating: " ", count: $0) } ?? ""
        }
        text += open
        for (index, element) in elements.enumerated() {
            text += (index == 0 ? "" : ",") + newLine(deeper)
            write(element, &text, deeper)
        }
        text += (elements.isEmpty ? "" : newLine(indentation)) + close
    }

    private static func quote(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
