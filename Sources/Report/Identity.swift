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
    public static let cellColumns: [(column: Column, option: String)] = [
        ("strategy", "--strategy"), ("policy", "--policy"), ("size_bytes", "--size"),
        ("entry_bytes", "--entry"), ("chunk_bytes", "--chunk"), ("ranges", "--ranges"),
        ("misalign_bytes", "--misalign"), ("devices", "--devices"), ("engine", "--engine"),
        ("lanes", "--lanes"), ("backing", "--backing"), ("convert_rate_hz", "--convert-rate"),
        ("convert_pages", "--convert-pages"), ("convert_where", "--convert-where"),
        ("enforce", "--enforce"), ("on_fault", "--on-fault"), ("convert_to", "--convert-to"),
        ("pool_bytes", "--pool"), ("cache_bytes", "--cache"), ("buffers", "--buffers"),
    ].map { (column($0)!, $1) }
}

extension Row {
    /// Which cell of a plan it belongs to, whatever the round and the run: the values of `Schema.cellColumns`.
    public var cell: [String] {
        Schema.cellColumns.map { CSV.text($0.column.value(of: self)) }
    }
}
