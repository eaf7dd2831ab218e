import DmaReport
import DmaStatistics

/// After how many DMAs a pin that is taken once has paid for itself.
enum LongLivedFigure {
    static let name = "break-even-longlived"
    private static let once = "longlived"

    static func make(_ context: Context) throws(Figures.Omission) -> Figure {
        let evidence = context.evidence
        guard let place = evidence.strategies.firstIndex(of: once) else {
            throw Figures.Omission(reason: "no row of the strategy longlived")
        }
        guard
            let selection = Selection(
                evidence, varying: .size, where: { $0.syncNs != nil && $0.setupPinNs != nil })
        else { throw Figures.Omission(reason: "no row has both times of pins and of set-up") }
        let perDMA = selection.table(\.syncNs)
        let setup = selection.table(\.setupPinNs)
        var series: [Figure.Series] = []
        for strategy in selection.strategies where strategy != place {
            var samples: [Double: [Double]] = [:]
            for (size, trials) in perDMA[strategy] ?? [:] {
                samples[size] = trials.compactMap { trial, each in
                    guard let eachOnce = perDMA[place]?[size]?[trial],
                        let before = setup[strategy]?[size]?[trial],
                        let beforeOnce = setup[place]?[size]?[trial]
                    else { return nil }
                    return count(extra: beforeOnce - before, saving: each - eachOnce)
                }
            }
            let points = Self.points(samples)
            if !points.isEmpty { series.append(selection.series(strategy, points)) }
        }
        guard !series.isEmpty else {
            throw Figures.Omission(
                reason: "longlived saves nothing per DMA against any strategy of the same rounds")
        }
        return Figure(
            name: name, kind: .lines, title: "After how many DMAs a long-lived pin pays",
            caption: context.caption(
                "The set-up that longlived takes beyond another strategy, divided by what it saves per DMA. No point: in "
                    + "half of the rounds or more it saves nothing.", of: selection),
            source: context.source(of: selection, without: [.size]), x: .size,
            y: Axis(label: "DMAs until it pays", quantity: .count, scale: .logarithmic),
            series: series)
    }

    /// At least the one DMA; infinite where nothing is saved.
    private static func count(extra: Double, saving: Double) -> Double {
        saving > 0 ? max(1, extra / saving) : .infinity
    }

    /// As `Selection.points`, of samples in which some are infinite: those are the largest, so that a median or an end
    /// of an interval among them is not drawn.
    private static func points(_ samples: [Double: [Double]]) -> [Figure.Point] {
        // `Sample` takes finite values only; these are beyond any that is divided.
        let largest = Double.greatestFiniteMagnitude
        let finite = samples.mapValues { $0.map { min($0, largest) } }
        return Selection.points(finite).compactMap { point in
            var point = point
            guard point.y < largest / 4 else { return nil }
            if let interval = point.yInterval, interval.high == largest { point.yInterval = nil }
            return point
        }
    }
}

/// Up to which size a copy out of a pool is cheaper than a pin.
enum BounceFigure {
    static let name = "break-even-bounce"
    private static let copier = "bounce"

    static func make(_ context: Context) throws(Figures.Omission) -> Figure {
        let evidence = context.evidence
        guard let place = evidence.strategies.firstIndex(of: copier) else {
            throw Figures.Omission(reason: "no row of the strategy bounce")
        }
        guard let selection = Selection(evidence, varying: .size, where: { cost($0) != nil })
        else { throw Figures.Omission(reason: "no row has times of pin and unpin") }
        let costs = selection.table(cost)
        guard let bounce = costs[place] else {
            throw Figures.Omission(reason: "no row of bounce has the time of its copy")
        }
        var series: [Figure.Series] = []
        for strategy in selection.strategies where strategy != place {
            var samples: [Double: [Double]] = [:]
            for (size, trials) in costs[strategy] ?? [:] {
                samples[size] = trials.compactMap { trial, other in
                    bounce[size]?[trial].flatMap { other > 0 ? $0 / other : nil }
                }
            }
            let points = Selection.points(samples)
            if !points.isEmpty { series.append(selection.series(strategy, points)) }
        }
        guard !series.isEmpty else {
            throw Figures.Omission(reason: "bounce shares no round and size with another strategy")
        }
        series.append(
            Figure.Series(
                name: "equal", look: Look(colour: .black, dash: .long),
                points: selection.values.map {
                    Figure.Point(x: $0, y: 1, xInterval: nil, yInterval: nil)
                }))
        return Figure(
            name: name, kind: .lines, title: "Copying out of a bounce buffer instead of pinning",
            caption: context.caption(
                "Copy and pin of bounce, as a multiple of pin and unpin of another strategy: below 1 the copy is cheaper.",
                of: selection),
            source: context.source(of: selection, without: [.size]), x: .size,
            y: Axis(label: "bounce / other", quantity: .factor, scale: .logarithmic),
            series: series)
    }

    /// What a DMA takes besides its write. The copy is the guest's, the pins are the device's.
    private static func cost(_ row: Row) -> Double? {
        guard row.isCopied else { return row.syncNs }
        guard let sync = row.syncNs, let copy = row.copyNsP50 else { return nil }
        return sync + copy
    }
}
