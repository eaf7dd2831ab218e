/// Which side and which pair a run of `ab` belongs to: what the names of its runs begin with, so that a file of rows
/// keeps it.
public struct RunSide: Hashable, Sendable {
    public let isNew: Bool
    /// Counted from 1.
    public let pair: Int

    public init(isNew: Bool, pair: Int) {
        self.isNew = isNew
        self.pair = pair
    }

    /// Nil of a run that is no part of a pair.
    public init?(ofRun name: String) {
        let parts = name.split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "old" || parts[0] == "new", let pair = Int(parts[1]),
            pair > 0
        else { return nil }
        self.init(isNew: parts[0] == "new", pair: pair)
    }

    /// `old-3-` before the run's own name.
    public func name(ofRun run: String) -> String { "\(isNew ? "new" : "old")-\(pair)-\(run)" }
}
