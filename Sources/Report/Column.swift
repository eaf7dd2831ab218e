/// One column of the output: its name, type, unit and meaning, and how a row fills it.
public struct Column: Sendable {
    public let name: String
    /// `integer`, `number`, `text`, `boolean`, or `list`: a text of values between semicolons.
    public let type: String
    /// The unit of a quantity; empty where the value counts or names something.
    public let unit: String
    /// One sentence.
    public let meaning: String
    private let read: @Sendable (Row) -> JSON

    init<Value: ColumnValue>(
        _ name: String, _ property: KeyPath<Row, Value> & Sendable, unit: String = "",
        _ meaning: String
    ) {
        self.name = name
        self.type = Value.typeName
        self.unit = unit
        self.meaning = meaning
        read = { $0[keyPath: property].json }
    }

    /// The row's value: a scalar, or null where nothing was measured.
    public func value(of row: Row) -> JSON { read(row) }
}

/// What a column can hold.
protocol ColumnValue: SendableMetatype {
    static var typeName: String { get }
    var json: JSON { get }
}

extension Bool: ColumnValue {
    static var typeName: String { "boolean" }
    var json: JSON { .bool(self) }
}

extension Int: ColumnValue {
    static var typeName: String { "integer" }
    var json: JSON { JSON(self) }
}

extension UInt64: ColumnValue {
    static var typeName: String { "integer" }
    var json: JSON { JSON(self) }
}

extension Double: ColumnValue {
    static var typeName: String { "number" }
    var json: JSON { JSON(self) }
}

extension String: ColumnValue {
    static var typeName: String { "text" }
    var json: JSON { .string(self) }
}

extension Row.Status: ColumnValue {
    static var typeName: String { "text" }
    var json: JSON { .string(description) }
}

extension Array: ColumnValue where Element: CustomStringConvertible {
    static var typeName: String { "list" }
    var json: JSON {
        isEmpty ? .null : .string(map(\.description).joined(separator: ";"))
    }
}

extension Optional: ColumnValue where Wrapped: ColumnValue {
    static var typeName: String { Wrapped.typeName }
    var json: JSON { self?.json ?? .null }
}
