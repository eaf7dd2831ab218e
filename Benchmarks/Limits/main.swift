import CLimits
import DmaLinux
import Glibc

// Runs what dma-bench is made of beside the least that each part can cost, interleaved, and prints target against
// measured: all groups of targets, or those that its arguments name. With DMA_BENCH_KEEP all of it goes to that file as
// CSV as well, once it is whole.

let everywhere = try Processors.allowed()
if CommandLine.arguments.dropFirst().first == Victim.argument {
    try Victim.pinUntilKilled(under: CommandLine.arguments[2])
}
try Processors.bind(to: everywhere.last!)
let call = Subject("system call") { climits_system_calls(1000) }
interleave([call], rounds: 11)
print("a system call: \(Int(Ratio.median(of: call.times.sorted()) / 1000)) ns")
print(Target.header)
let groups: KeyValuePairs = [
    "locks": lockTargets, "lists": listTargets, "conversions": conversionTargets,
    "waits": waitTargets, "deaths": deathTargets,
    "writes": writeTargets, "program": programTargets,
]
let chosen = CommandLine.arguments.dropFirst()
var kept = Target.columns
for (name, targets) in groups where chosen.isEmpty || chosen.contains(name) {
    for target in try targets() {
        print(target.line)
        kept += target.row
    }
}
if let path = getenv("DMA_BENCH_KEEP") {
    guard let file = fopen(path, "w"), fputs(kept, file) >= 0, fclose(file) == 0 else {
        fatalError(
            "\(String(cString: path)) cannot be written: \(String(cString: strerror(errno)))")
    }
}
