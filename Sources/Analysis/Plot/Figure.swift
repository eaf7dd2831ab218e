import DmaStatistics

/// A picture as data, before anything is drawn: what is shown, in which units, and from where.
public struct Figure: Sendable, Equatable {
    public enum Kind: Sendable {
        /// Each series is a line, labelled at its end.
        case lines
        /// Each series is a few points with intervals both ways, in order from small to large.
        case scatter
        /// Each series is one part of every bar; bars lie, one for each name of the vertical axis.
        case bars
    }

    /// Unique among figures, and fit to be the name of a file.
    public let name: String
    public let kind: Kind
    public let title: String
    /// What is seen, and what was left out.
    public let caption: String
    /// Where it comes from: what was held fixed, files, environment.
    public let source: String
    public let x: Axis
    public let y: Axis
    public let series: [Series]

    /// Points of one strategy, or of one part of all bars, from left to right.
    public struct Series: Sendable, Equatable {
        /// As rows spell it, with what a reader has to know: `none (unsafe)`.
        public let name: String
        public let look: Look
        public let points: [Point]
    }

    /// The median over rounds. An interval covers it with a confidence of 95 % or more; nil of fewer than six rounds.
    public struct Point: Sendable, Equatable {
        public var x: Double
        public var y: Double
        public var xInterval: Interval?
        public var yInterval: Interval?
        /// Of a scatter, how many steps larger than the smallest it is drawn.
        public var step = 0
    }
}

/// One direction of a figure.
public struct Axis: Sendable, Equatable {
    /// What its values are; gives the tics their text.
    public enum Quantity: Sendable {
        case bytes
        case bytesPerSecond
        case nanoseconds
        /// Of one.
        case share
        case count
        /// How many times as much.
        case factor
    }

    public enum Scale: Sendable, Equatable {
        case linear
        case logarithmic
        /// Shares below one, each nine as long as the one before it: 0, 90 %, 99 %, 99.9 %.
        case nines
        /// These values, ascending, at equal distances.
        case steps([Double])
        /// The values 0, 1, 2 stand for these names, from the top.
        case names([String])
    }

    /// With the unit where the tics do not tell it.
    public let label: String
    public let quantity: Quantity
    public let scale: Scale
}
