/// What is wrong with a file that the program was given to read: which, where, and what to do next.
public struct InputError: Error, Equatable, CustomStringConvertible {
    public let path: String
    /// Counted from 1; nil where the whole file is meant.
    public let line: Int?
    public let problem: String

    public init(_ path: String, line: Int? = nil, _ problem: String) {
        self.path = path
        self.line = line
        self.problem = problem
    }

    /// One line.
    public var description: String {
        let place = line.map { ", line \($0)" } ?? ""
        return Text.printable("\(path)\(place): \(problem)")
    }
}
