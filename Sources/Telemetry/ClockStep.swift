extension TickClock {
    /// The clock's step in nanoseconds: what lies between two readings is a multiple of it. Some processors' counters
    /// count every tick, others 26 or more at once; a median of a few steps can repeat no better than to one of them.
    ///
    /// From some thousand readings in a row, which take less than a millisecond. Zero where the clock stood still.
    public func measuredStep() -> Double {
        var readings: [UInt64] = []
        readings.reserveCapacity(4096)
        // A clock that moves once in many readings is read more often, to a bound.
        for _ in 0..<1_000_000 where readings.count < 4096 {
            let reading = now()
            if reading != readings.last { readings.append(reading) }
        }
        return (Self.step(of: readings) ?? 0) * Double(scale.multiplier) * 0x1p-32
    }

    /// The step, in ticks, of a clock with these successive readings; nil where no two differ.
    ///
    /// The differences of neighbours are small multiples of the step, all of which occur in some thousand readings, so
    /// that the step is the least difference or the least distance of two of them. Their greatest common divisor would
    /// be wrong where a step is no whole number of ticks, as after a scaling (a guest's counter, nanoseconds of the
    /// kernel): its multiples are rounded, and differences of 20, 21 and 30 have a step of 10.04. Long differences,
    /// which a gap makes, and those seen only once are left out.
    static func step(of readings: [UInt64]) -> Double? {
        let values = differences(of: readings)
        guard !values.isEmpty else { return nil }
        guard let clusters = clusters(of: values) else { return 1 }
        var step = clusters[0].mean
        for (one, next) in zip(clusters, clusters.dropFirst()) {
            step = min(step, next.mean - one.mean)
        }
        // The mean of all is finer than one distance.
        var sum = 0.0
        var steps = 0.0
        for value in values {
            let multiple = (value.mean / step).rounded()
            // The step itself is not among these few: what they have in common is left.
            guard abs(value.mean - multiple * step) <= 1.5 else { return commonDivisor(of: values) }
            sum += value.mean * value.weight
            steps += multiple * value.weight
        }
        return sum / steps
    }

    private static func commonDivisor(of values: [Cluster]) -> Double {
        let divisor = values.reduce(UInt64(0)) { divisor, value in
            var (one, other) = (UInt64(value.mean), divisor)
            while other != 0 { (one, other) = (other, one % other) }
            return one
        }
        return Double(divisor)
    }

    /// Differences of so many ticks on average, and how many of them there were.
    private struct Cluster {
        var mean: Double
        var weight: Double
    }

    /// The differences of neighbours, ascending, with how often they came: up to 16 times the least, and more than once
    /// where any did.
    private static func differences(of readings: [UInt64]) -> [Cluster] {
        var counts: [UInt64: Int] = [:]
        for (one, next) in zip(readings, readings.dropFirst()) where next > one {
            counts[next - one, default: 0] += 1
        }
        if counts.contains(where: { $0.value > 1 }) { counts = counts.filter { $0.value > 1 } }
        guard let least = counts.keys.min() else { return [] }
        return counts.filter { $0.key / 16 <= least }.sorted { $0.key < $1.key }
            .map { Cluster(mean: Double($0.key), weight: Double($0.value)) }
    }

    /// Two values a tick apart are one multiple, rounded to either side; nil where more are in a row, as those of a
    /// counter that counts every tick.
    private static func clusters(of values: [Cluster]) -> [Cluster]? {
        var clusters: [Cluster] = []
        var first = -Double.infinity
        var last = -Double.infinity
        for value in values {
            if value.mean - last > 1 {
                clusters.append(value)
                first = value.mean
            } else {
                guard value.mean - first <= 1 else { return nil }
                let cluster = clusters[clusters.count - 1]
                let weight = cluster.weight + value.weight
                clusters[clusters.count - 1] = Cluster(
                    mean: (cluster.mean * cluster.weight + value.mean * value.weight) / weight,
                    weight: weight)
            }
            last = value.mean
        }
        return clusters
    }
}
