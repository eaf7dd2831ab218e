/// How a series looks: told apart by colour, by the shape of its points, and by the dashes of its line.
///
/// The colours are those of Okabe and Ito, which people of all kinds of colour vision tell apart
/// (Color Universal Design, 2008), but for yellow, which is too faint on white.
public struct Look: Sendable, Equatable {
    public enum Colour: String, Sendable {
        case black = "#000000"
        case orange = "#E69F00"
        case skyBlue = "#56B4E9"
        case green = "#009E73"
        case blue = "#0072B2"
        case vermilion = "#D55E00"
        case purple = "#CC79A7"
        case grey = "#777777"
        case lightGrey = "#D0D0D0"

        /// Where its strategies begin among the shapes: not all colours at the same one.
        var firstShape: Int {
            switch self {
            case .black, .blue: 1
            case .purple: 2
            case .orange: 3
            case .green: 4
            case .vermilion, .skyBlue, .grey, .lightGrey: 0
            }
        }
    }

    public enum Dash: Sendable {
        case solid
        case long
        case mixed
        /// Of a strategy that does not keep private pages private.
        case dotted
    }

    /// In the order of gnuplot's point types, two each: hollow and filled.
    public enum Shape: Int, CaseIterable, Sendable {
        case square
        case circle
        case upward
        case downward
        case diamond
        case pentagon
    }

    public let colour: Colour
    public let dash: Dash
    /// Nil for a line that no points are measured on.
    public let shape: Shape?
    /// Of a strategy that does not keep private pages private.
    public let isHollow: Bool

    init(colour: Colour, dash: Dash = .solid, shape: Shape? = nil, isHollow: Bool = false) {
        self.colour = colour
        self.dash = dash
        self.shape = shape
        self.isHollow = isHollow
    }
}

/// How strategies look that somebody knows; rows have their names alone.
public struct StrategyLooks: Sendable {
    private let known: [String: (colour: Look.Colour, place: Int)]

    /// Strategies of one colour have places of their own in it, from 0; six look different.
    public init(_ known: [(name: String, colour: Look.Colour, place: Int)]) {
        self.known = Dictionary(known.map { ($0.name, ($0.colour, $0.place)) }) { first, _ in first
        }
    }

    /// The same for the same name in every figure. Names that nobody knows share grey, and the bytes of the name choose
    /// a shape.
    func look(of strategy: String, sound: Bool) -> Look {
        let (shapes, dashes) = (Look.Shape.allCases, [Look.Dash.solid, .long, .mixed])
        guard let (colour, place) = known[strategy] else {
            let sum = strategy.utf8.reduce(0) { $0 &+ Int($1) }
            return Look(
                colour: .grey, dash: sound ? .mixed : .dotted, shape: shapes[sum % shapes.count],
                isHollow: !sound)
        }
        return Look(
            colour: colour, dash: sound ? dashes[place % dashes.count] : .dotted,
            shape: shapes[(colour.firstShape + place) % shapes.count], isHollow: !sound)
    }
}
