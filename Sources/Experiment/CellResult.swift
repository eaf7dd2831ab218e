import Hypervisor
import Turn

/// What came of one cell in one round.
public struct CellResult {
    public enum Ending {
        case measured(TurnOutcome, disturbedBy: [Disturbance])
        case failed(MachineError)
        /// The machine lacks what the strategy needs.
        case unavailable(String)
    }

    public let cell: Cell
    /// Counted from 1.
    public let round: Int
    /// The strategy's place in the round's order, counted from 1.
    public let position: Int
    public let ending: Ending
}
