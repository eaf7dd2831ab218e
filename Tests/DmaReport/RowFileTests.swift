import Testing

@testable import DmaReport

/// What a run wrote is read back as it was; what no run wrote is refused, with the line.
@Suite struct RowFileTests {
    private static func text(_ rows: [Row], _ format: Format = .csv) -> String {
        format.header + rows.map(format.line).joined()
    }

    private static func read(_ text: String, acceptingCutEnd: Bool = false) throws -> RowFile {
        try RowFile(Array(text.utf8), path: "f", acceptingCutEnd: acceptingCutEnd)
    }

    private static func refusal(_ text: String) -> String {
        do {
            let file = try read(text)
            return "read as \(file.rows.count) rows"
        } catch {
            return "\(error)"
        }
    }

    /// The columns of `rows` with a change of header and fields, as an editor would make it.
    private static func edited(
        _ rows: [Row], _ change: (inout [String]) -> Void
    ) throws -> String {
        try StrictCSV.parse(text(rows)).map { fields in
            var fields = fields
            change(&fields)
            return CSV.line(fields)
        }.joined()
    }

    @Test(arguments: [Format.csv, .jsonl])
    func whatIsWrittenIsReadBack(_ format: Format) throws {
        let rows = [
            Row.full, .planned(), .planned(status: .unavailable("low: memlock")),
            .measured("none", safe: false, round: 2, pin: 1, write: nil, unpin: 2),
        ]
        let file = try Self.read(Self.text(rows, format))
        #expect(file.rows == rows)
        #expect(file.format == format)
        #expect(file.unknownColumns.isEmpty && !file.hasCutEnd)
        #expect(file.wholeByteCount == Self.text(rows, format).utf8.count)
    }

    /// From one format to the other and back nothing is lost.
    @Test func formatsHoldTheSame() throws {
        let csv = Self.text([.full, .planned()])
        let lines = Self.text(try Self.read(csv).rows, .jsonl)
        #expect(Self.text(try Self.read(lines).rows) == csv)
    }

    @Test func columnsAreKnownByName() throws {
        let rows = [Row.full, .planned("none", safe: false)]
        #expect(try Self.read(Self.edited(rows) { $0.reverse() }).rows == rows)
    }

    @Test func otherVersionsOfTheSameSchemaAreRead() throws {
        var old = Row.full
        old.retries = nil
        let retries = try #require(Schema.columns.firstIndex { $0.name == "retries" })
        #expect(try Self.read(Self.edited([.full]) { $0.remove(at: retries) }).rows == [old])

        var isHeader = true
        let newer = try Self.edited([.full]) { fields in
            fields.append(isHeader ? "colour" : "blue")
            isHeader = false
        }
        let file = try Self.read(newer)
        #expect(file.rows == [.full])
        #expect(file.unknownColumns == ["colour"])
    }

    @Test func windowsLineEndsAndByteOrderMarksAreRead() throws {
        let text =
            "\u{FEFF}"
            + Self.text([.planned()]).split(separator: "\n").joined(
                separator: "\r\n") + "\r\n"
        #expect(try Self.read(text).rows == [.planned()])
    }

    /// Cut anywhere, a file is refused, or gives its whole rows and says where they end.
    @Test(arguments: [Format.csv, .jsonl])
    func aCutEndIsSeenWhereverItIs(_ format: Format) throws {
        let whole = Self.text([.planned(), .full], format)
        let first = Self.text([.planned()], format)
        for length in first.utf8.count + 1..<whole.utf8.count {
            let cut = Array(whole.utf8.prefix(length))
            #expect(throws: InputError.self) { try RowFile(cut, path: "f") }
            let file = try RowFile(cut, path: "f", acceptingCutEnd: true)
            #expect(file.rows == [.planned()] && file.hasCutEnd)
            #expect(file.wholeByteCount == first.utf8.count)
        }
        #expect(try Self.read(first, acceptingCutEnd: true).hasCutEnd == false)
    }

    /// `column=value` in a row of the second line.
    @Test(arguments: [
        ("pin_ns_p50", "nan"), ("pin_ns_p50", "inf"), ("pin_ns_p50", "-1"), ("pin_ns_p50", "1e999"),
        ("ops", "-1"), ("ops", "1.5"), ("ops", "18446744073709551616"), ("round", ""),
        ("strategy", ""), ("safe", "yes"), ("status", "fine"), ("status", "failed"),
        ("device_cpu", "1;x"), ("size_bytes", "1G"), ("ops", "0x10"), ("ops", "9007199254740994.0"),
    ])
    func aValueThatNoRunWritesIsRefused(_ column: String, _ value: String) throws {
        let place = try #require(Schema.columns.firstIndex { $0.name == column })
        var isHeader = true
        let text = try Self.edited([.planned()]) { fields in
            if !isHeader { fields[place] = value }
            isHeader = false
        }
        #expect(Self.refusal(text).hasPrefix("f, line 2: \(column) is '\(value)'"))
    }

    /// What R and pandas write of what a run wrote: rows have numbers, truth has capitals, texts have quotes, a missing
    /// value has a name, and whole numbers are fractions.
    @Test(arguments: [("True", "False", ""), ("TRUE", "FALSE", "NA")])
    func whatIsSavedAgainIsRead(yes: String, no: String, missing: String) throws {
        let rows = [Row.full, .planned(), .planned("none", safe: false, sizeBytes: 100_000)]
        var lines: [String] = []
        for (number, fields) in try StrictCSV.parse(Self.text(rows)).enumerated() {
            let saved = zip(Schema.columns, fields).map { column, field in
                switch (number, column.type) {
                case (0, _): "\"\(field)\""
                case (_, "boolean"): field == "true" ? yes : no
                case (_, _) where field.isEmpty: missing
                // Beyond that no fraction is exact.
                case (_, "integer") where field.count < 16:
                    field == "100000" ? "1e+05" : field + ".0"
                case (_, "text"): "\"\(field.replacing("\"", with: "\"\""))\""
                default: field
                }
            }
            lines.append((["\"\(number == 0 ? "" : "\(number)")\""] + saved).joined(separator: ","))
        }
        let file = try Self.read(lines.joined(separator: "\n") + "\n")
        #expect(file.rows == rows)
        #expect(file.unknownColumns.isEmpty)
    }

    /// As spreadsheets write it where a comma is the decimal sign, and R's write.csv2.
    @Test(arguments: [(";", "semicolons"), ("\t", "tabs")])
    func anotherSeparatorIsNamed(separator: String, name: String) throws {
        for quote in ["", "\""] {
            let text = try StrictCSV.parse(Self.text([.planned()])).map { fields in
                fields.map { quote + $0 + quote }.joined(separator: separator) + "\r\n"
            }.joined()
            for text in [text, "\u{FEFF}" + text] {
                #expect(
                    Self.refusal(text).hasPrefix(
                        "f: its columns are separated by \(name); save it with commas"))
            }
        }
    }

    /// A file of schema 1 has neither its number nor the columns that came with schema 2.
    @Test func aFileOfTheEarlierSchemaIsRead() throws {
        var row = Row.full
        row.schema = 1
        let known = Schema.columns.firstIndex { $0.name == "clock_step_ns" }!
        let text = try Self.edited([row]) { $0.removeSubrange(known...) }
        let read = try #require(try RowFile(Array(text.utf8), path: "f").rows.first)
        #expect(read.schema == 1 && read.strategy == row.strategy)
        #expect(read.pinLimitBytes == row.pinLimitBytes)
        #expect(read.vcpuGaps == nil && read.deviceBusy.isEmpty && read.convertWait == nil)
    }

    @Test func otherFilesAreRefused() throws {
        #expect(Self.refusal("") == "f: empty; a run writes it with -o")
        #expect(Self.refusal("a,b\n1,2\n").hasPrefix("f: not a file of rows: it has no columns"))
        #expect(Self.refusal("schema,str").hasPrefix("f: not a file of rows: its first line"))
        #expect(Self.refusal("{\"a\":[1]}\n").hasPrefix("f, line 1: not a JSON object of scalars"))
        #expect(Self.refusal("{\"a\":1}\n").hasPrefix("f: not a file of rows"))
        let header = Format.csv.header
        #expect(Self.refusal(header + "1,2\n").hasPrefix("f, line 2: 2 fields under a header of"))
        #expect(Self.refusal(header + "1,\"2\"x\n").hasPrefix("f, line 2: a quote"))
        #expect(Self.refusal(header + "1,2\"x\n").hasPrefix("f, line 2: a quote"))
        let other = Self.text([.planned()]).replacing("\n2,r1,", with: "\n3,r1,")
        #expect(
            Self.refusal(other).hasPrefix("f, line 2: schema 3; this version reads schema 1 to 2"))
        let twice = try Self.edited([.planned()]) { $0.append($0[4]) }
        #expect(Self.refusal(twice) == "f, line 1: column 'strategy' is there twice; delete one")
        let missing = try Self.edited([.planned()]) { $0.remove(at: 2) }
        #expect(Self.refusal(missing).hasPrefix("f, line 1: column 'round' is missing"))
        #expect(throws: InputError.self) { try RowFile([0xFF, 0xFE, 0x0A], path: "f") }
    }

    @Test func aFileThatCannotBeReadIsNamed() {
        #expect(throws: InputError.self) { try RowFile.read("/nonexistent/rows.csv") }
        #expect(throws: InputError("/dev/zero", "larger than 4 KiB; name another file")) {
            try InputFile.read("/dev/zero", limit: 4096)
        }
    }
}
