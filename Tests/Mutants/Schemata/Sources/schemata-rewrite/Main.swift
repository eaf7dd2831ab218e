import Foundation
import Schemata

// schemata-rewrite TREE LEFT-OUT FILE...
//
// Rewrites files of a copy of the tree, so that they have all their mutants but those whose names are the first words of
// the lines of LEFT-OUT. Prints a line for each mutant, and for each that cannot be made; fields are between tabs.

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count > 2 else {
    FileHandle.standardError.write(Data("usage: schemata-rewrite TREE LEFT-OUT FILE...\n".utf8))
    exit(64)
}
let tree = URL(fileURLWithPath: arguments[1])
let lines = try String(contentsOfFile: arguments[2], encoding: .utf8).split(separator: "\n")
let left = Set(lines.compactMap { $0.split(whereSeparator: \.isWhitespace).first.map(String.init) })

var schemata = Schemata()
for file in arguments.dropFirst(2) {
    schemata.add(file, try String(contentsOf: tree.appending(path: file), encoding: .utf8))
}
for (name, text) in schemata.texts(without: left) {
    try text.write(to: tree.appending(path: name), atomically: false, encoding: .utf8)
}
func line(_ text: String) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
}
for mutant in schemata.mutants {
    print(
        "mutant", mutant.number, mutant.name, mutant.file, mutant.line, mutant.operation.rawValue,
        mutant.isForModels ? "models" : left.contains(mutant.name) ? "left" : "built",
        line(mutant.original), line(mutant.changed), separator: "\t")
}
for skip in schemata.skips {
    print("skip", skip.file, skip.line, skip.operation.rawValue, skip.reason, separator: "\t")
}
