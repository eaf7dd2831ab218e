import DmaReport
import Glibc

/// Where the values of an axis lie on a line from 0 to 1, and what is written there.
struct Ruler {
    struct Tic: Equatable {
        let place: Double
        /// Nil for one that has no text.
        let text: String?
    }

    private let axis: Axis
    private let low: Double
    private let high: Double
    private(set) var tics: [Tic] = []

    /// `values` are all that are drawn, intervals among them.
    init(_ axis: Axis, over values: [Double]) {
        self.axis = axis
        switch axis.scale {
        case .names(let names): (low, high) = (-0.5, Double(names.count) - 0.5)
        case .steps(let steps): (low, high) = (-0.3, Double(steps.count) - 0.7)
        case .linear where axis.quantity == .share: (low, high) = (0, 1)
        case .linear, .logarithmic, .nines:
            let positions = values.map { Self.position($0, on: axis.scale) }.filter(\.isFinite)
            let (first, last) = (positions.min() ?? 0, positions.max() ?? 1)
            let margin =
                switch axis.scale {
                case .linear: max(0.05 * (last - first), 0.02 * last, 1e-9)
                case .nines: max(0.02 * (last - first), 0.1)
                // Enough that two tics have a text.
                default: max(0.04 * (last - first), (0.7 - (last - first)) / 2)
                }
            // Nothing that is measured is negative.
            let least = axis.scale == .linear ? 0 : -Double.infinity
            (low, high) = (max(least, first - margin), last + margin)
        }
        tics = marks().compactMap { value, text in
            let place = place(value)
            return (-1e-9...1 + 1e-9).contains(place) ? Tic(place: place, text: text) : nil
        }
    }

    /// From 0 to 1; what no logarithm has is at the low end.
    func place(_ value: Double) -> Double {
        let position = Self.position(value, on: axis.scale)
        let place = position.isFinite ? (position - low) / (high - low) : 0
        if case .names = axis.scale { return 1 - place }
        return place
    }

    private static func position(_ value: Double, on scale: Axis.Scale) -> Double {
        switch scale {
        case .linear, .names: value
        case .logarithmic: log10(value)
        case .nines: -log10(1 - value)
        case .steps(let steps): steps.firstIndex(of: value).map { Double($0) } ?? .nan
        }
    }

    // MARK: Tics

    /// Where an axis of that scale has its tics.
    static let nines = [0, 0.5, 0.9, 0.99, 0.999, 0.9999]

    private func marks() -> [(Double, String?)] {
        switch axis.scale {
        case .names(let names): names.enumerated().map { (Double($0), $1) }
        case .steps(let steps):
            steps.enumerated().map { index, value in
                (value, index % (steps.count / 12 + 1) == 0 ? text(value) : nil)
            }
        case .nines:
            Self.nines.map { ($0, text($0)) }
        case .linear: linearMarks()
        case .logarithmic: axis.quantity == .bytes ? powersOfTwo() : decades()
        }
    }

    private func linearMarks() -> [(Double, String?)] {
        var unit = 1.0
        if axis.quantity == .bytesPerSecond {
            while unit * 1024 <= high, unit < 1e12 { unit *= 1024 }
        }
        let rough = (high - low) / unit / 5
        let power = pow(10, floor(log10(rough)))
        let step = ([1, 2, 5].first { $0 * power >= rough } ?? 10) * power * unit
        let first = Int((low / step).rounded(.up))
        return (first...max(first, Int(high / step))).map {
            (Double($0) * step, text(Double($0) * step))
        }
    }

    /// Powers of two from the first, at most ten with a text.
    private func powersOfTwo() -> [(Double, String?)] {
        let first = Int((low / log10(2)).rounded(.up))
        let last = max(first, Int((high / log10(2)).rounded(.down)))
        let step = [1, 2, 4, 5, 10].first { (last - first) / $0 < 10 } ?? (last - first) / 10 + 1
        return stride(from: first, through: last, by: step).map { exponent in
            let value = pow(2, Double(exponent))
            return (value, text(value))
        }
    }

    /// Powers of ten with a text, and 2 and 5 times that where there are few; without one what lies between.
    private func decades() -> [(Double, String?)] {
        let labelled = high - low < 2.2 ? [1, 2, 5] : [1]
        let step = Int(high - low) / 12 + 1
        return (Int(floor(low))...Int(ceil(high))).flatMap { exponent in
            (1...9).map { digit in
                let value = Double(digit) * pow(10, Double(exponent))
                let isNamed = exponent % step == 0 && labelled.contains(digit)
                return (value, isNamed ? text(value) : nil)
            }
        }
    }

    private func text(_ value: Double) -> String {
        switch axis.quantity {
        case .bytes: Human.size(bytes: whole(value))
        case .bytesPerSecond: Human.throughput(value)
        case .share: number(value * 100) + " %"
        case .nanoseconds:
            switch value {
            case ..<1e3: number(value) + " ns"
            case ..<1e6: number(value / 1e3) + " us"
            case ..<1e9: number(value / 1e6) + " ms"
            default: number(value / 1e9) + " s"
            }
        case .count: number(value)
        case .factor: number(value) + " x"
        }
    }

    /// The few digits of a tic, all of them.
    private func number(_ value: Double) -> String {
        value < 1e15 && value == value.rounded()
            ? Human.grouped(whole(value)) : Human.decimal(value, digits: 6, trimmed: true)
    }
}

/// The integer part of a number of at least zero, or the largest integer.
func whole(_ value: Double) -> UInt64 { value < 0x1p64 ? UInt64(value) : .max }
