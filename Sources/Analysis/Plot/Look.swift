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
    }

    public enum Dash: CaseIterable, Sendable {
        case solid
        case long
        case mixed
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

    /// Strategies that work alike share a colour.
    private static let families: [(colour: Colour, shift: Int, members: [String])] = [
        (.vermilion, 0, ["perpage", "perpage-swar"]),
        (.blue, 1, ["rangetree", "slots", "epoch"]),
        (.green, 4, ["longlived", "pincache"]),
        (.purple, 2, ["intervaltree", "mutexlist", "ofd"]),
        (.orange, 3, ["kernelpin", "rpc"]),
        (.skyBlue, 0, ["bounce", "dual", "fault"]),
        (.black, 1, ["none", "toctou", "srcu-v5"]),
    ]

    init(colour: Colour, dash: Dash = .solid, shape: Shape? = nil, isHollow: Bool = false) {
        self.colour = colour
        self.dash = dash
        self.shape = shape
        self.isHollow = isHollow
    }

    /// The same for the same name in every figure. Names that this version does not know share grey, and the bytes of
    /// the name choose a shape.
    init(strategy: String, sound: Bool) {
        let shapes = Shape.allCases
        for family in Self.families {
            guard let member = family.members.firstIndex(of: strategy) else { continue }
            self.init(
                colour: family.colour, dash: sound ? Dash.allCases[member] : .dotted,
                shape: shapes[(family.shift + member) % shapes.count], isHollow: !sound)
            return
        }
        let sum = strategy.utf8.reduce(0) { $0 &+ Int($1) }
        self.init(
            colour: .grey, dash: sound ? .mixed : .dotted, shape: shapes[sum % shapes.count],
            isHollow: !sound)
    }
}
