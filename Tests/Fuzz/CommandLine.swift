import Experiment

@testable import dma_bench

// The options of a run, as anybody may write them: a plan or an error with a text, never a trap, never a loop.
//
// An input is text, one option a line: its name, a space, its value. ArgumentParser is left out, since it would take
// a thousand times as long as what it calls.

@c(LLVMFuzzerTestOneInput)
public func fuzzCommandLine(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    var texts: [String: String] = [:]
    for line in text.split(separator: "\n") {
        let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        texts[String(words[0])] = words.count == 2 ? String(words[1]) : ""
    }
    // A flag's value is the parser's own.
    if texts["no-write"] != nil { texts["no-write"] = "yes" }
    do throws(UsageError) {
        let plan = try Plan(try Request(texts))
        if let complaint = complaint(of: plan) { fatalError(complaint) }
    } catch {
        precondition(error.description.hasPrefix("--"), "no option is named: \(error)")
    }
    return 0
}

/// What is wrong with a plan that was accepted; nil where nothing is.
private func complaint(of plan: Plan) -> String? {
    if plan.turnCount == 0 { return "an empty plan" }
    for cell in plan.cells {
        let map = cell.map
        if map.buffers.count != cell.settings.devices { return "a device without a buffer" }
        for ranges in map.buffers.map(\.ranges) + [map.queueAreas, [map.free]] {
            if let range = ranges.first(where: { $0.upper > map.pages.rawValue }) {
                return "\(range) is outside guest memory of \(map.pages)"
            }
        }
    }
    return nil
}
