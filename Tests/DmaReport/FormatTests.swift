import Testing

@testable import DmaReport

@Suite struct FormatTests {
    @Test func csvQuotesWhatNeedsIt() throws {
        #expect(CSV.line(["a b", "", "x"]) == "a b,,x\n")
        #expect(
            CSV.line(["a,b", "\"", "c\nd", "\r", "\r\n"])
                == "\"a,b\",\"\"\"\",\"c\nd\",\"\r\",\"\r\n\"\n")
        let hard = ["", ",", "\"", "\"\"", "a\"b", "\n", "\r", "\r\n", " ", "é", "a,\"\n"]
        for first in hard {
            for second in hard {
                let parsed = try StrictCSV.parse(CSV.line([first, second]))
                // Scalars, since "\r\n" is one character that equals no other.
                #expect(parsed.count == 1 && parsed[0].count == 2, "\(first) \(second)")
                #expect(parsed[0].map(scalars) == [first, second].map(scalars))
            }
        }
    }

    @Test(arguments: [Row.full, Row.planned()])
    func csvAndJSONLinesHoldTheSameValues(row: Row) throws {
        let records = try StrictCSV.parse(Format.csv.header + Format.csv.line(row))
        let members = try StrictJSONLine.parse(Format.jsonl.line(row))
        #expect(records.count == 2)
        #expect(records[0] == members.map(\.name))
        #expect(records[0] == Schema.columns.map(\.name))
        for (field, member) in zip(records[1], members) {
            #expect(scalars(field) == scalars(CSV.text(member.value)), "\(member.name)")
        }
        #expect(Format.jsonl.header.isEmpty)
    }

    @Test func everyValueComesBackExactly() throws {
        let members = try StrictJSONLine.parse(Format.jsonl.line(.full))
        func value(_ name: String) -> JSON? { members.first { $0.name == name }?.value }
        #expect(value("strategy") == .string(Row.full.strategy))
        #expect(value("status") == .string("failed:a,b\u{1}\u{7F}|é"))
        #expect(value("safe") == .bool(true))
        #expect(value("ops") == .number("18446744073709551615"))
        #expect(value("refused") == .number("0"))
        #expect(value("device_cpu") == .string("1;3"))
        #expect(value("noisy") == .string("cpu;warmup"))
        for column in Schema.columns where column.type == "number" {
            guard case .number(let text) = value(column.name),
                case .number(let expected) = column.value(of: .full)
            else {
                Issue.record("no number in \(column.name)")
                continue
            }
            #expect(Double(text) == Double(expected))
        }
    }

    @Test func missingIsEmptyInCSVAndNullInJSON() throws {
        let row = Row.planned()
        let fields = try StrictCSV.parse(Format.csv.line(row))[0]
        let members = try StrictJSONLine.parse(Format.jsonl.line(row))
        let missing = Set(
            zip(Schema.columns, fields).filter { $0.1.isEmpty }.map(\.0.name))
        #expect(missing == Set(members.filter { $0.value == .null }.map(\.name)))
        #expect(missing.isSuperset(of: ["ops", "pin_ns_p50", "memory_node", "vcpu_cpu", "noisy"]))
        #expect(missing.count == fields.count - 21)
    }

    @Test func numbersAreShortestAndFinite() throws {
        #expect(JSON(1_450_000.0).compact == "1450000")
        #expect(JSON(0.1).compact == "0.1")
        #expect(JSON(3e-7).compact == "3e-07")
        for value in [Double.nan, .infinity, -.infinity] { #expect(JSON(value) == .null) }
        let values = [1.0 / 3, 1e16, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 12.7]
        for value in values {
            #expect(Double(JSON(value).compact) == value)
        }
        var row = Row.planned()
        row.pinNsP50 = .nan
        row.convertRateHz = .infinity
        let text = Format.csv.line(row) + Format.jsonl.line(row)
        #expect(!text.contains("nan") && !text.contains("inf"))
    }

    @Test func tableIsAlignedAndOneLineARow() {
        let row = Row.measured("perpage", pin: 1_450_000, write: 53_000_000, unpin: 740_000)
        #expect(
            Format.table.header + Format.table.line(row)
                == """
                round  strategy          size  pin p50  data p50  unpin p50  sync share  \
                throughput  conversions  denied  conv p50  conv p99  violations  status
                    1  perpage          1 GiB  1.45 ms   53.0 ms     740 us         4 %  \
                18.9 GiB/s          900     100    450 ns   12.3 us           0  ok

                """)
        #expect(Format.table.line(.full).filter { $0.isNewline }.count == 1)
    }

    @Test func markdownEscapesPipes() {
        let header = Format.markdown.header.split(separator: "\n")
        #expect(header.count == 2)
        #expect(header[1].hasPrefix("| ---: | --- | ---: |"))
        let line = Format.markdown.line(.full)
        #expect(line.hasSuffix("| failed:a,b  \\|é |\n"))
        #expect(line.filter { $0.isNewline }.count == 1)
        #expect(Format.markdown.line(.planned()).contains("| n/a |"))
    }

    private func scalars(_ text: String) -> [Unicode.Scalar] { Array(text.unicodeScalars) }
}
