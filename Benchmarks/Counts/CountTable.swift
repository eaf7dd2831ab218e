import CCounts
import DmaLinux
import GuestMemory
import PinLock

/// Rows, and whose code they count.
struct CountTable {
    let compiler: String
    let library: String
    let rows: [CountRow]

    private static let header =
        (["strategy", "shape"] + CountRow.columns + ["compiler", "libc"]).joined(separator: ",")

    /// Of every strategy that can run here.
    static func measured() throws -> CountTable {
        var rows: [CountRow] = []
        for strategy in Registry.all {
            if let reason = strategy.unavailability(pinning: Shape.pages) {
                note("\(strategy.info.name) is left out: \(reason)")
                continue
            }
            for shape in Shape.all where isCounted(shape, under: strategy) {
                do {
                    rows.append(try CountRow(strategy, shape))
                } catch TracedDevice.Failure.tooLong {
                    note(
                        "\(strategy.info.name), \(shape.name): \(TracedDevice.Failure.tooLong), left out"
                    )
                }
            }
        }
        return CountTable(
            compiler: swiftVersion, library: String(cString: ccounts_libc_version()), rows: rows)
    }

    /// The kernel's pins would fill guest memory with pages, a GiB for each device; and its work is not counted anyway.
    private static func isCounted(_ shape: Shape, under strategy: any PinStrategy.Type) -> Bool {
        strategy.info.name != KernelPin.info.name
            || shape.list.reduce(0) { $0 + $1.count.rawValue } < 1024
    }

    var text: String {
        let lines = rows.map { row in
            ([row.strategy, "\"\(row.shape)\""] + row.values.map(String.init) + [compiler, library])
                .joined(separator: ",")
        }
        return ([Self.header] + lines).joined(separator: "\n") + "\n"
    }

    init(compiler: String, library: String, rows: [CountRow]) {
        self.compiler = compiler
        self.library = library
        self.rows = rows
    }

    /// As `text` has it.
    init(path: String) throws {
        guard let text = readSmallFile(path) else { throw Malformed(path: path, line: 0) }
        let lines = text.split(separator: "\n").map(String.init)
        guard lines.first == Self.header else { throw Malformed(path: path, line: 1) }
        var rows: [CountRow] = []
        var origin = ("", "")
        for (number, line) in lines.enumerated().dropFirst() {
            // Only the shape is quoted: what stands before it, it, and what stands behind.
            let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
            guard parts.count == 3 else { throw Malformed(path: path, line: number + 1) }
            let fields = parts[2].split(separator: ",").map(String.init)
            let values = fields.dropLast(2).compactMap { UInt64($0) }
            guard values.count == CountRow.columns.count else {
                throw Malformed(path: path, line: number + 1)
            }
            rows.append(
                CountRow(
                    strategy: String(parts[0].dropLast()), shape: String(parts[1]), values: values))
            origin = (fields[fields.count - 2], fields[fields.count - 1])
        }
        self.init(compiler: origin.0, library: origin.1, rows: rows)
    }

    struct Malformed: Error, CustomStringConvertible {
        let path: String
        let line: Int
        var description: String {
            "\(path):\(line): no table of counts: make it anew with `make counts`"
        }
    }

    /// Prints what is different; the exit status. Of a pin that makes system calls the instructions are not compared: those
    /// of the C library around them are chosen by the processor.
    func compare(with kept: CountTable) -> Int32 {
        guard (compiler, library) == (kept.compiler, kept.library) else {
            note(
                "kept of \(kept.compiler) and glibc \(kept.library), this is \(compiler) and \(library)"
            )
            return 77
        }
        var isSame = true
        for row in kept.rows {
            guard
                let now = rows.first(where: { ($0.strategy, $0.shape) == (row.strategy, row.shape) }
                )
            else { continue }
            for (column, (old, new)) in zip(CountRow.columns, zip(row.values, now.values))
            where old != new && !(now.makesSystemCalls && column.hasSuffix("instructions")) {
                print("\(row.strategy), \(row.shape): \(column) was \(old), is \(new)")
                isSame = false
            }
        }
        let known = Set(kept.rows.map { "\($0.strategy), \($0.shape)" })
        for row in rows where !known.contains("\(row.strategy), \(row.shape)") {
            print("\(row.strategy), \(row.shape): is new")
            isSame = false
        }
        print(
            isSame
                ? "counts: \(rows.count) rows as they were" : "counts: `make counts` keeps them so")
        return isSame ? 0 : 1
    }
}

private var swiftVersion: String {
    #if compiler(>=6.4)
        "Swift 6.4 or later"
    #elseif compiler(>=6.3)
        "Swift 6.3"
    #else
        "Swift 6.2"
    #endif
}
