/// One column of the output: its name, type, unit and meaning, and how a row fills it.
public final class Column: Sendable {
    public let name: String
    /// `integer`, `number`, `text`, `boolean`, or `list`: a text of values between semicolons.
    public let type: String
    /// The unit of a quantity; empty where the value counts or names something.
    public let unit: String
    /// One sentence.
    public let meaning: String
    /// Whether every row has a value.
    public let isRequired: Bool
    private let read: @Sendable (Row) -> JSON
    private let write: @Sendable (inout Row, String) -> Bool

    /// Inlined, so that reading a file of rows does not go through types and key paths a cell at a time.
    @inline(__always)
    init<Value: ColumnValue>(
        _ name: String, _ property: WritableKeyPath<Row, Value> & Sendable, unit: String = "",
        _ meaning: String, formerly words: [String: String] = [:]
    ) {
        self.name = name
        self.type = Value.typeName
        self.unit = unit
        self.meaning = meaning
        isRequired = Value(text: "") == nil
        read = { $0[keyPath: property].json }
        write = { row, text in
            // R's word for a missing value; and what earlier versions wrote.
            let word = words.isEmpty ? text : words[text] ?? text
            guard let value = Value(text: word == "NA" ? "" : word) else { return false }
            row[keyPath: property] = value
            return true
        }
    }

    /// The row's value: a scalar, or null where nothing was measured.
    public func value(of row: Row) -> JSON { read(row) }

    /// Reads what a CSV field holds into the row; false where no run would have written that, nor pandas or R that have
    /// read what a run wrote.
    public func parse(_ text: String, into row: inout Row) -> Bool { write(&row, text) }
}

/// What a column can hold. An empty text is a missing value; quantities are finite and not negative.
protocol ColumnValue: SendableMetatype {
    static var typeName: String { get }
    var json: JSON { get }
    init?(text: String)
}

extension Bool: ColumnValue {
    static var typeName: String { "boolean" }
    var json: JSON { .bool(self) }
    init?(text: String) {
        switch text {
        case "true", "True", "TRUE": self = true
        case "false", "False", "FALSE": self = false
        default: return nil
        }
    }
}

/// Where a column has missing values, or numbers that 32 bits do not hold, pandas and R take whole numbers for fractions:
/// `64.0`, `1e+05`. Nil beyond 2^53, where such a number stands for several.
private func wholeNumber(_ text: String) -> UInt64? {
    if let value = UInt64(text) { return value }
    let isDecimal = text.utf8.allSatisfy { "0123456789.e+E".utf8.contains($0) }
    guard isDecimal, let value = Double(text), value <= 0x1p53 else { return nil }
    return UInt64(exactly: value)
}

extension Int: ColumnValue {
    static var typeName: String { "integer" }
    var json: JSON { JSON(self) }
    init?(text: String) {
        guard let value = wholeNumber(text) else { return nil }
        self.init(exactly: value)
    }
}

extension UInt64: ColumnValue {
    static var typeName: String { "integer" }
    var json: JSON { JSON(self) }
    init?(text: String) {
        guard let value = wholeNumber(text) else { return nil }
        self = value
    }
}

extension Double: ColumnValue {
    static var typeName: String { "number" }
    var json: JSON { JSON(self) }
    init?(text: String) {
        guard let value = Double(text), value.isFinite, value >= 0 else { return nil }
        self = value
    }
}

extension String: ColumnValue {
    static var typeName: String { "text" }
    var json: JSON { .string(self) }
    init?(text: String) {
        guard !text.isEmpty else { return nil }
        self = text
    }
}

extension Row.Status: ColumnValue {
    static var typeName: String { "text" }
    var json: JSON { .string(description) }
    init?(text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        switch (parts[0], parts.count) {
        case ("ok", 1): self = .ok
        case ("interrupted", 1): self = .interrupted
        case ("violation", 1): self = .violation
        case ("failed", 2): self = .failed(String(parts[1]))
        case ("unavailable", 2): self = .unavailable(String(parts[1]))
        default: return nil
        }
    }
}

/// Nothing in it holds a semicolon.
extension Array: ColumnValue where Element: ColumnValue & CustomStringConvertible {
    static var typeName: String { "list" }
    var json: JSON {
        isEmpty ? .null : .string(map(\.description).joined(separator: ";"))
    }
    init?(text: String) {
        self = []
        for part in text.split(separator: ";") {
            guard let element = Element(text: String(part)) else { return nil }
            append(element)
        }
    }
}

extension Optional: ColumnValue where Wrapped: ColumnValue {
    static var typeName: String { Wrapped.typeName }
    var json: JSON { self?.json ?? .null }
    init?(text: String) {
        let missing: Wrapped? = nil
        guard !text.isEmpty else {
            self = missing
            return
        }
        guard let value = Wrapped(text: text) else { return nil }
        self = value
    }
}
