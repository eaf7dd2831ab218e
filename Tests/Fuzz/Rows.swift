import Guest

@testable import DmaReport
@testable import Trace

// A file of rows or of a trace, as anybody may have edited it: what it says or an error with a text, never a trap, never a
// loop. What is read is what a run could have written: writing and reading it again changes nothing.

@c(LLVMFuzzerTestOneInput)
public func fuzzRows(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    if bytes.first == UInt8(ascii: "#") {
        readTrace(bytes)
        return 0
    }
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

/// A guest in which it is replayed has room for all that it names.
private func readTrace(_ bytes: [UInt8]) {
    guard let trace = try? Trace(bytes) else { return }
    precondition((try? Trace(trace.text)) == trace, "a trace that changes when it is written")
    let layout = TraceLayout(trace)
    precondition(layout.count == trace.requests.count, "requests are lost")
    for index in 0..<layout.count {
        for run in layout.runs(of: index) {
            precondition(
                run.address + UInt64(run.byteCount) <= layout.pages.bytes.rawValue,
                "\(run) in \(layout.pages)")
        }
    }
}
