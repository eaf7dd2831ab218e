import ArgumentParser
import DmaReport
import GuestMemory
import MachineProbe
import PinLock
import Telemetry

struct Strategies: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "strategies",
        abstract: "Print every strategy: how it works, whether it is safe, who pays, what it needs."
    )

    func run() throws {
        let perGiB = PageCount(pagesPerGiB)
        for strategy in Registry.all {
            let info = strategy.info
            let metadata = strategy.metadataByteCount(pages: perGiB)
            try Status.print(
                """
                \(info.name) (\(info.isSafe ? "safe" : "UNSAFE"))
                    how:       \(info.summary)
                    who pays:  \(info.cost)
                    policies:  \(info.policies.map(\.rawValue).joined(separator: ", "))
                    kernel:    \(info.kernelNeeds ?? "needs nothing special")
                    metadata:  \(metadata) bytes per GiB of guest memory
                    precedent: \(info.precedent)

                """)
        }
    }
}

struct Env: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "env",
        abstract: "Print the environment that results depend on, as JSON.")

    func run() throws {
        var environment = Environment.capture(revision: Build.revision)
        environment.clockStepNanoseconds = TickClock.calibrated().measuredStep()
        try Status.print(environment.json.pretty)
    }
}

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Print the columns of the results: name, type, unit, meaning.")

    @Flag(help: "As CSV.") var csv = false

    func run() throws { try Status.print(csv ? Schema.csv : Schema.table) }
}
