@testable import Report

// A file of rows, as anybody may have edited it: rows or an error with a text, never a trap, never a loop. What is read
// is what a run could have written: writing and reading it again changes nothing.

@c(LLVMFuzzerTestOneInput)
public func fuzzRows(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    do throws(InputError) {
        let file = try RowFile(bytes, path: "f", acceptingCutEnd: count % 2 == 0)
        precondition(file.wholeByteCount <= bytes.count, "more than there is")
        for format in [Format.csv, .jsonl] where !file.rows.isEmpty {
            let text = format.header + file.rows.map(format.line).joined()
            let again = try RowFile(Array(text.utf8), path: "g")
            precondition(again.rows == file.rows, "\(format) changed a row")
        }
    } catch {
        precondition(error.path == "f", "what was written is not read: \(error)")
    }
    return 0
}
