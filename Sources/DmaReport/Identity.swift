extension Text {
    /// 16 hexadecimal digits by which a text is told from another: its FNV-1a.
    public static func hash(_ text: String) -> String {
        let digits = String(fnv1a(text), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// FNV-1a with 64 bits (RFC 9923, sections 2 and 5).
func fnv1a(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

extension Schema {
    /// The columns in which cells of one plan may differ, with the options that vary them.
    public static let cellColumns: [(column: Column, option: String)] =
        [(column("strategy")!, "--strategy")]
        + PlanColumn.all.compactMap { choice in choice.option.map { (choice.column, $0) } }
}

extension Row {
    /// Which cell of a plan it belongs to, whatever the round and the run: the values of `Schema.cellColumns`.
    public var cell: [String] {
        Schema.cellColumns.map { CSV.text($0.column.value(of: self)) }
    }
}
