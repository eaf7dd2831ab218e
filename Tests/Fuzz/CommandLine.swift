import ArgumentParser
import Experiment

@testable import dma_bench

// The options of a run, as anybody may write them: a plan or an error with a text, never a trap, never a loop.
//
// An input is text, one option a line: its name, a space, its value. ArgumentParser is left out, since it would take
// a thousand times as long as what it calls.

private let defaults = try! DmaBench.parse([])

@c(LLVMFuzzerTestOneInput)
public func fuzzCommandLine(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    var options = defaults
    for line in text.split(separator: "\n") {
        let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        options.set(String(words[0]), to: words.count == 2 ? String(words[1]) : "")
    }
    do throws(UsageError) {
        let plan = try Plan(try RequestParser.request(options))
        if let complaint = complaint(of: plan) { fatalError(complaint) }
    } catch {
        precondition(error.description.hasPrefix("--"), "no option is named: \(error)")
    }
    return 0
}

extension DmaBench {
    fileprivate mutating func set(_ name: String, to value: String) {
        switch name {
        case "size": size = value
        case "strategy": strategy = value
        case "chunk": chunk = value
        case "ranges": ranges = value
        case "devices": devices = value
        case "convert-rate": convertRate = value
        case "convert-pages": convertPages = value
        case "convert-where": convertWhere = value
        case "convert-to": convertTo = value
        case "policy": policy = value
        case "engine": engine = value
        case "lanes": lanes = value
        case "backing": backing = value
        case "buffers": buffers = value
        case "entry": entry = value
        case "misalign": misalign = value
        case "pool": pool = value
        case "cache": cache = value
        case "pin-limit": pinLimit = value
        case "on-fault": onFault = value
        case "enforce": enforce = value
        case "no-write": noWrite = true
        case "guest-memory": guestMemory = value
        case "notify": notify = value
        case "rounds": rounds = value
        case "ops": ops = value
        case "seconds": seconds = value
        case "memory-node": memoryNode = value
        case "device-cpu": deviceCpu = value
        case "vcpu-cpu": vcpuCpu = value
        case "seed": seed = value
        case "shard": shard = value
        case "until-stable": untilStable = value
        default: break
        }
    }
}

/// What is wrong with a plan that was accepted; nil where nothing is.
private func complaint(of plan: Plan) -> String? {
    if plan.turnCount == 0 { return "an empty plan" }
    for cell in plan.cells {
        let map = cell.shape.map
        if map.buffers.count != cell.shape.devices { return "a device without a buffer" }
        for ranges in map.buffers.map(\.ranges) + [map.queueAreas, [map.free]] {
            if let range = ranges.first(where: { $0.upper > map.pages.rawValue }) {
                return "\(range) is outside guest memory of \(map.pages)"
            }
        }
    }
    return nil
}
