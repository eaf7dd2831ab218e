/// A file of rows that an earlier run wrote, read whole: CSV or JSON lines.
///
/// Columns are known by their names, in any order. A file of an earlier version may lack columns that were appended
/// since; columns of a later version are left out. A file is taken whole or refused.
public struct RowFile: Sendable {
    public let path: String
    public let format: Format
    public let rows: [Row]
    /// Names in the file that this version does not know.
    public let unknownColumns: [String]
    /// Bytes up to the end of the last whole row.
    public let wholeByteCount: Int
    /// Whether something follows that byte: a row whose writer was stopped.
    public let hasCutEnd: Bool

    private static let byteLimit = 1 << 30

    /// Reads `path`, or standard input where it is `-`. A row at the end that is not whole is an error, or left out
    /// where `acceptingCutEnd`.
    public static func read(
        _ path: String, acceptingCutEnd: Bool = false
    ) throws(InputError) -> RowFile {
        try RowFile(
            InputFile.read(path, limit: byteLimit), path: path, acceptingCutEnd: acceptingCutEnd)
    }

    /// Takes what was read of `path`, or what a program of that name wrote.
    public init(
        _ bytes: [UInt8], path: String, acceptingCutEnd: Bool = false
    ) throws(InputError) {
        self.path = path
        let isJSON = bytes.first == UInt8(ascii: "{")
        format = isJSON ? .jsonl : .csv
        var collector = RowCollector(path: path)
        wholeByteCount =
            try isJSON ? collector.collect(lines: bytes) : collector.collect(csv: bytes)
        hasCutEnd = wholeByteCount < bytes.count
        guard !hasCutEnd || acceptingCutEnd else {
            throw InputError(
                path, line: collector.line,
                "the last row is cut off; finish the run with --resume, or delete the line")
        }
        (rows, unknownColumns) = (collector.rows, collector.unknownColumns)
    }
}

/// Gathers rows; each `collect` returns the bytes up to the end of the last whole one.
private struct RowCollector {
    let path: String
    var rows: [Row] = []
    var unknownColumns: [String] = []
    var line = 1

    init(path: String) { self.path = path }

    mutating func collect(csv bytes: [UInt8]) throws(InputError) -> Int {
        if let separator = Self.foreignSeparator(bytes) {
            throw InputError(
                path,
                "its columns are separated by \(separator); save it with commas, and with points in numbers: "
                    + "to_csv(sep=',', decimal='.') of pandas, write.csv of R")
        }
        var reader = CSVReader(bytes)
        var fields: [String] = []
        guard try next(&reader, &fields) else {
            if bytes.isEmpty { throw InputError(path, "empty; a run writes it with -o") }
            throw foreign("its first line is not whole")
        }
        let columns = try self.columns(fields)
        while try next(&reader, &fields) {
            guard fields.count == columns.count else {
                throw InputError(
                    path, line: line,
                    "\(fields.count) fields under a header of \(columns.count); was it edited?")
            }
            var row = Row()
            for (column, field) in zip(columns, fields) { try column?.fill(&row, field, self) }
            rows.append(row)
        }
        return reader.offset
    }

    /// What stands between the names of our columns in the first line, where that is no comma; spreadsheets write so where
    /// a comma is the decimal sign.
    private static func foreignSeparator(_ bytes: [UInt8]) -> String? {
        let header = bytes.prefix { $0 != UInt8(ascii: "\n") }
        let marks = ["semicolons": UInt8(ascii: ";"), "tabs": UInt8(ascii: "\t")]
        return marks.first { mark in
            let names = header.split(separator: mark.value).map { name in
                String(decoding: name.filter { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
            }
            return names.contains("strategy") && names.contains("round")
        }?.key
    }

    /// The next record; false at the end, or before a last one that is not whole.
    private mutating func next(
        _ reader: inout CSVReader, _ fields: inout [String]
    ) throws(InputError) -> Bool {
        do throws(CSVReader.Malformed) {
            let found = try reader.next(&fields)
            line = reader.line
            return found
        } catch {
            line = reader.line
            switch error {
            case .cut: return false
            case .misplaced:
                throw InputError(
                    path, line: line, "a quote or a carriage return out of place; was it edited?")
            case .encoding: throw foreign("line \(line) is not UTF-8")
            }
        }
    }

    mutating func collect(lines bytes: [UInt8]) throws(InputError) -> Int {
        var start = 0
        line = 1
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            let members: [(name: String, text: String)]
            do {
                members = try JSONReader.members(bytes[start..<end])
            } catch {
                throw InputError(path, line: line, "not a JSON object of scalars; was it edited?")
            }
            var row = Row()
            for (column, member) in zip(try columns(members.map(\.name)), members) {
                try column?.fill(&row, member.text, self)
            }
            rows.append(row)
            start = end + 1
            line += 1
        }
        return start
    }

    /// What each name stands for; nil for one that a later version has appended.
    private mutating func columns(_ names: [String]) throws(InputError) -> [Column?] {
        guard names.contains("schema"), names.contains("strategy") else {
            throw foreign("it has no columns 'schema' and 'strategy'")
        }
        if let twice = names.indices.first(where: { names[..<$0].contains(names[$0]) }) {
            throw InputError(
                path, line: line, "column '\(names[twice])' is there twice; delete one")
        }
        let known = Set(names)
        if let missing = Schema.columns.first(where: { $0.isRequired && !known.contains($0.name) })
        {
            throw InputError(
                path, line: line, "column '\(missing.name)' is missing; was it edited?")
        }
        let columns = names.map { Schema.column($0) }
        // Without a name are the numbers of rows that pandas and R put in front.
        unknownColumns = zip(names, columns).compactMap { $1 == nil && !$0.isEmpty ? $0 : nil }
        return columns
    }

    private func foreign(_ why: String) -> InputError {
        InputError(path, "not a file of rows: \(why); name one that dma-bench -o wrote")
    }
}

extension Column {
    fileprivate func fill(
        _ row: inout Row, _ text: String, _ place: RowCollector
    ) throws(InputError) {
        guard parse(text, into: &row) else {
            throw InputError(
                place.path, line: place.line,
                "\(name) is '\(text.prefix(40))', which is no \(type) that a run writes; was it edited?"
            )
        }
        if name == "schema", !Schema.readable.contains(row.schema) {
            throw InputError(
                place.path, line: place.line,
                "schema \(row.schema); this version reads schema \(Schema.readable.lowerBound) to \(Schema.readable.upperBound): "
                    + "use the version that wrote it")
        }
    }
}
