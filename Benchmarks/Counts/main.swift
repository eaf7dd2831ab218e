import DmaLinux
import Glibc
import PinLock

// counts             what a pin and an unpin come to, strategy by strategy and shape by shape, as CSV
// counts --check FILE
//                    the same beside such a file: names what is different and exits with 1; with 77 where the file was
//                    made by another compiler or C library, whose code is not this one's

#if !arch(x86_64)
    note("only instructions of x86-64 are understood")
    exit(77)
#endif

let arguments = CommandLine.arguments.dropFirst()
do {
    if let processor = try Processors.allowed().last { try Processors.bind(to: processor) }
    switch arguments.count {
    case 0:
        print(try CountTable.measured().text, terminator: "")
    case 2 where arguments.first == "--check":
        exit(try CountTable.measured().compare(with: try CountTable(path: arguments.last!)))
    default:
        note("usage: counts [--check FILE]")
        exit(64)
    }
} catch {
    note("\(error)")
    exit(70)
}
