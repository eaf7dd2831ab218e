/// Some bytes of a file, and what stands there instead in some mutants.
struct Rewrite {
    enum Form {
        /// Statements, or values where a branch may give one: `if mutant(1) { changed } else { original }`. The compiler
        /// infers the types of each branch by itself, and a statement can be left out.
        case branches
        case condition
        case value
        /// Nothing stands there; `text` has to hold unless it is the mutant.
        case insertion(before: String, after: String)
    }

    let range: Range<Int>
    let form: Form
    /// The numbers of the mutants, and their text.
    var changes: [(number: Int32, text: String)]
}

/// A file's text with all its mutants in it.
struct Renderer {
    private let source: [UInt8]
    /// Outer ones before those that they contain.
    private let rewrites: [Rewrite]

    /// - Parameter isBuilt: whether a mutant is to be in it.
    init(_ source: [UInt8], _ rewrites: [Rewrite], isBuilt: (Int32) -> Bool) {
        self.source = source
        self.rewrites = rewrites.map { rewrite in
            var rewrite = rewrite
            rewrite.changes.removeAll { !isBuilt($0.number) }
            return rewrite
        }.filter { !$0.changes.isEmpty }.sorted {
            // What is inserted comes before the condition that begins there.
            if $0.range.lowerBound != $1.range.lowerBound {
                return $0.range.lowerBound < $1.range.lowerBound
            }
            return $0.range.isEmpty || !$1.range.isEmpty && $0.range.count > $1.range.count
        }
    }

    func text() -> String {
        var next = 0
        return render(source.indices, &next)
    }

    private func render(_ range: Range<Int>, _ next: inout Int) -> String {
        var text = ""
        var position = range.lowerBound
        // What is inserted at the end of a range stands behind it.
        while next < rewrites.count, rewrites[next].range.lowerBound < range.upperBound {
            let rewrite = rewrites[next]
            next += 1
            text += original(position..<rewrite.range.lowerBound)
            text += written(rewrite, render(rewrite.range, &next))
            position = rewrite.range.upperBound
        }
        return text + original(position..<range.upperBound)
    }

    private func original(_ range: Range<Int>) -> String {
        String(decoding: source[range], as: UTF8.self)
    }

    /// Each change is on lines of its own, behind its number: what the compiler objects to can be left out.
    private func written(_ rewrite: Rewrite, _ inner: String) -> String {
        switch rewrite.form {
        case .branches:
            rewrite.changes.map { "if mutant(\($0)) {\n/*\($0)*/ \($1)\n} else " }.joined()
                + "{\n/*0*/ \(inner)\n}"
        case .condition: call("mutantCondition", rewrite, inner)
        case .value: call("mutantValue", rewrite, inner)
        case .insertion(let before, let after):
            before + rewrite.changes.map { "!mutant(\($0.number))" }.joined(separator: ", ") + after
        }
    }

    private func call(_ name: String, _ rewrite: Rewrite, _ inner: String) -> String {
        rewrite.changes.reduce(inner) {
            "\(name)(\($1.number), \($0),\n/*\($1.number)*/ \($1.text)\n)"
        }
    }
}
