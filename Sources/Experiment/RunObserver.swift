import PinLock
import Telemetry

/// Who watches a run.
public protocol RunObserver: AnyObject {
    /// Whether the run should end with what it has; asked often.
    var shouldStop: Bool { get }
    /// Whether each DMA is to be told of; devices wait while it is.
    var wantsSamples: Bool { get }
    /// How many conversions of a turn are kept one by one.
    var eventLimit: Int { get }
    /// The share of guest memory that has been touched.
    func prefaulting(_ share: Double)
    /// The turn is counted from 1, within its round on its backing.
    func starting(_ cell: Cell, turn: Int, of turns: Int, round: Int)
    /// The turn begins anew: somebody was stopped in it.
    func repeating(_ cell: Cell, round: Int)
    /// A round of the cells is over, and whether it was the last.
    func decided(_ verdict: StoppingRule.Verdict, on cells: [Cell], after round: Int)
    /// One measured DMA.
    func took(_ sample: DMASample, _ cell: Cell, round: Int, device: DeviceID)
    /// The result of a turn; false ends the run.
    func finished(_ result: CellResult) -> Bool
}
