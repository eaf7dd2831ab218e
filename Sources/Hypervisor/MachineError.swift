import DmaLinux
import PinLock

/// Why the machine cannot go on.
public enum MachineError: Error, CustomStringConvertible {
    case system(SystemError)
    /// The kernel refused a device process what it needs; the text names both.
    case refused(String)
    /// A device process died or broke its protocol; the text names it.
    case device(String)
    /// The same, once its pins have been recovered, or why they were not, and how many are left.
    case recovered(String, refusal: RecoveryRefusal?, leakedPins: Int)
    /// Whoever started the run wants it to end: the turn came to no result.
    case interrupted
    /// What must never happen: the guest, the table and a strategy disagree.
    case internalFault(String)

    /// Whether it is the machine that lacks or forbids something.
    public var isRefusal: Bool {
        switch self {
        case .system, .refused: true
        case .device, .recovered, .interrupted, .internalFault: false
        }
    }

    public var description: String {
        switch self {
        case .system(let error): error.description
        case .refused(let text), .device(let text): text
        case .recovered(let text, nil, let leaked):
            "\(text); after recovery of its pins leaked_pins is \(leaked)"
        case .recovered(let text, let refusal?, let leaked):
            "\(text); its pins cannot be recovered: \(refusal); leaked_pins is \(leaked)"
        case .interrupted: "interrupted"
        case .internalFault(let text): "internal error: \(text)"
        }
    }
}

/// What the kernel refuses the machine.
package func system<Result: ~Copyable>(
    _ body: () throws(SystemError) -> Result
) throws(MachineError) -> Result {
    do throws(SystemError) {
        return try body()
    } catch {
        throw .system(error)
    }
}
