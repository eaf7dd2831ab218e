/// What a value of a comparison stands for: the median over what it holds.
enum Unit: String, Sendable {
    case run
    /// A round of one run.
    case round
    /// Two runs, old and new, one right after the other.
    case pair

    /// Fewer prove nothing.
    var fewest: Int { self == .round ? 6 : 4 }

    /// `one run`, `3 rounds`.
    func count(_ number: Int) -> String {
        number == 1 ? "one \(rawValue)" : "\(number) \(rawValue)s"
    }

    /// How one comes to have enough of them.
    var remedy: String {
        switch self {
        case .run: "--repeat \(fewest)"
        case .round: "--rounds \(fewest)"
        case .pair: "--pairs \(fewest)"
        }
    }
}
