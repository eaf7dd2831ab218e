import ArgumentParser
import Experiment

@testable import dma_bench

// A job file, as anybody may have written it: a plan or an error with a text, never a trap, never a loop. Where the
// options are right, the errors and the plan are those of the command line: see CommandLine.swift, which leaves out the
// parser and so is a hundred times as fast.

@c(LLVMFuzzerTestOneInput)
public func fuzzJob(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    do {
        let arguments = try JobFile.arguments(of: text, in: "f")
        let options = try DmaBench.parse(arguments)
        let plan = try Plan(try options.request())
        precondition(plan.turnCount > 0, "an empty plan")
    } catch let failure as Failure {
        precondition("\(failure)".contains("f, line "), "no line is named: \(failure)")
    } catch let error as UsageError {
        precondition(error.description.hasPrefix("--"), "no option is named: \(error)")
    } catch {
        fatalError("lines that are right make a job that is not: \(DmaBench.message(for: error))")
    }
    return 0
}
