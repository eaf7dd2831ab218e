/// What is done to the source to make a mutant.
public enum MutationOperator: String, CaseIterable, Sendable {
    /// A statement is left out; of `if`, `while` and `for` what they do, of a `guard` one of its conditions.
    case leaveOut = "leave-out"
    /// A `guard`, or an `if` that ends in leaving, leaves.
    case earlyReturn = "early-return"
    case negate
    /// A comparison with the equal case on the other side, or of equality with its contrary.
    case compare
    case arithmetic
    /// A number is one more, a truth the other one.
    case constant
    /// A memory ordering is the next weaker one.
    case ordering
}

/// One change of a source file.
public struct Mutant: Sendable {
    /// Within all files: what the environment chooses it by.
    public let number: Int32
    /// FILE.DECLARATION.OPERATOR.COUNT: stays the same when other declarations change.
    public let name: String
    public let file: String
    public let line: Int
    public let operation: MutationOperator
    public let original: String
    public let changed: String
    /// x86-64 executes both orderings by the same instructions: the mutant is left to the models, and is not built.
    public let isForModels: Bool
}

/// A mutant that cannot be made.
public struct Skip: Sendable {
    public let file: String
    public let line: Int
    public let operation: MutationOperator
    public let reason: String
}
