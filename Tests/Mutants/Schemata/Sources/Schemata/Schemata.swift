/// Files with all their mutants in them.
public struct Schemata {
    public private(set) var mutants: [Mutant] = []
    public private(set) var skips: [Skip] = []
    private var files: [(name: String, source: [UInt8], rewrites: [Rewrite])] = []

    public init() {}

    /// Adds a file; mutants are numbered from 1, in the order of the files.
    public mutating func add(_ file: String, _ text: String) {
        let finder = MutantFinder(file, text, first: Int32(mutants.count) + 1)
        mutants += finder.mutants
        skips += finder.skips
        files.append((file, Array(text.utf8), finder.rewrites))
    }

    /// The files with their mutants, but for those of some names.
    public func texts(without left: Set<String>) -> [(name: String, text: String)] {
        files.map { file in
            let renderer = Renderer(file.source, file.rewrites) {
                !left.contains(mutants[Int($0) - 1].name)
            }
            return (file.name, "import Mutant; " + renderer.text())
        }
    }
}
