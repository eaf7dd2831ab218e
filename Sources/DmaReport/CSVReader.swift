/// Reads comma-separated values (RFC 4180), record by record, and takes nothing that is not in the standard but lines
/// that end with a line feed alone.
struct CSVReader {
    enum Malformed: Error, Equatable {
        /// The text ends within a record: nothing says that its last field is whole.
        case cut
        case misplaced
        case encoding
    }

    private let bytes: [UInt8]
    /// Where the next record begins.
    private(set) var offset: Int
    /// The line on which the record that was read last begins, and the next one; counted from 1.
    private(set) var line = 0
    private var nextLine = 1

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        offset = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    /// The fields of the next record; false at the end. `offset` moves only past whole records.
    mutating func next(_ fields: inout [String]) throws(Malformed) -> Bool {
        fields.removeAll(keepingCapacity: true)
        line = nextLine
        var index = offset
        guard index < bytes.count else { return false }
        while true {
            let isQuoted = index < bytes.count && bytes[index] == Self.quote
            fields.append(try isQuoted ? quoted(&index) : plain(&index))
            guard index < bytes.count else { throw .cut }
            if bytes[index] == Self.comma {
                index += 1
                continue
            }
            if bytes[index] == Self.carriageReturn { index += 1 }
            guard index < bytes.count else { throw .cut }
            guard bytes[index] == Self.lineFeed else { throw .misplaced }
            offset = index + 1
            nextLine += 1
            return true
        }
    }

    private func plain(_ index: inout Int) throws(Malformed) -> String {
        let start = index
        while index < bytes.count {
            switch bytes[index] {
            case Self.comma, Self.lineFeed, Self.carriageReturn:
                return try text(bytes[start..<index])
            case Self.quote: throw .misplaced
            default: index += 1
            }
        }
        return try text(bytes[start..<index])
    }

    /// A field between quotes, in which a doubled quote stands for one; ends behind the last quote.
    private mutating func quoted(_ index: inout Int) throws(Malformed) -> String {
        var content: [UInt8] = []
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == Self.quote {
                guard index < bytes.count, bytes[index] == Self.quote else {
                    return try text(content[...])
                }
                index += 1
            } else if byte == Self.lineFeed {
                nextLine += 1
            }
            content.append(byte)
        }
        throw .cut
    }

    private func text(_ slice: ArraySlice<UInt8>) throws(Malformed) -> String {
        guard let text = String(validating: slice, as: UTF8.self) else { throw .encoding }
        return text
    }

    private static let quote = UInt8(ascii: "\"")
    private static let comma = UInt8(ascii: ",")
    private static let lineFeed = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
}
