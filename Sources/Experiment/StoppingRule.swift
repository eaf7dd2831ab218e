import GuestMemory

/// When a run has enough rounds: as many as were asked for, or once every median is known well enough, or once every
/// cell has enough rounds that nothing disturbed.
public struct StoppingRule: Sendable {
    /// What a turn tells of whether there are enough.
    public struct Note: Sendable {
        /// What is to become stable, in nanoseconds: the time of a DMA, or that of the locking where nothing is written.
        /// Nil where nothing was measured.
        public let figure: Double?
        /// Whether nothing disturbed it.
        public let isQuiet: Bool

        public init(figure: Double?, isQuiet: Bool) {
            self.figure = figure
            self.isQuiet = isQuiet
        }
    }

    /// What a round has decided.
    public enum Verdict: Sendable {
        case goOn
        /// Every median is known well enough, or every cell has so many quiet rounds.
        case stable
        case quiet(rounds: Int)
        /// The last round is over without: which cell is known worst, and how far its interval reaches; or which has the
        /// fewest quiet rounds, and how many.
        case unstable(Cell, spread: Double)
        case disturbed(Cell, quietRounds: Int)

        var isEnough: Bool {
            switch self {
            case .stable, .quiet: true
            case .goOn, .unstable, .disturbed: false
            }
        }
    }

    /// With `--quiet-only` rounds go on for so many times `--rounds`.
    static let quietFactor = 4

    /// So many rounds there are at most.
    public let mostRounds: Int
    private let request: Request
    private var stability = Stability()
    /// Quiet rounds of each cell, by its place in the plan.
    private var quiet: [Int: Int] = [:]

    init(_ request: Request) {
        self.request = request
        mostRounds = request.rounds * (request.quietRounds == nil ? 1 : Self.quietFactor)
    }

    mutating func take(_ note: Note, of turn: Plan.Turn) {
        if note.isQuiet { quiet[turn.cell, default: 0] += 1 }
        if let figure = note.figure { stability.note(turn, figure) }
    }

    /// Whether the cells have been measured often enough after that round.
    func verdict(on cells: [Cell], after round: Int) -> Verdict {
        if let wanted = request.quietRounds { return quietVerdict(cells, round, wanted) }
        guard let tolerance = request.tolerance, round >= Stability.leastRounds else {
            return .goOn
        }
        guard let (cell, spread) = stability.worst(of: cells, rounds: round), spread > tolerance
        else { return .stable }
        return round == mostRounds ? .unstable(cell, spread: spread) : .goOn
    }

    private func quietVerdict(_ cells: [Cell], _ round: Int, _ wanted: Int) -> Verdict {
        func found(_ cell: Cell) -> Int { quiet[cell.index, default: 0] }
        guard let fewest = cells.min(by: { found($0) < found($1) }), found(fewest) < wanted
        else { return .quiet(rounds: wanted) }
        return round == mostRounds ? .disturbed(fewest, quietRounds: found(fewest)) : .goOn
    }
}
