import DmaLinux

/// One thing to be timed against others: a body, and how often it is repeated to last a while.
final class Subject {
    let name: String
    /// How much one run of the body does of what it is named for.
    private let count: Int
    private let body: () -> Void
    private var repeats = 1
    /// Nanoseconds of one run of the body, a value for each round.
    private(set) var times: [Double] = []

    /// Batches last so long at least: the clock is nothing beside it.
    private static let batchNanoseconds: UInt64 = 4_000_000

    init(_ name: String, count: Int = 1, _ body: @escaping () -> Void) {
        self.name = name
        self.count = count
        self.body = body
    }

    private func batch() -> UInt64 {
        let start = monotonicNanoseconds()
        for _ in 0..<repeats { body() }
        return monotonicNanoseconds() - start
    }

    /// What the first run has to do besides says nothing of how long the others take.
    func warmUp() {
        body()
        while batch() < Self.batchNanoseconds { repeats *= 2 }
    }

    /// The median of one, in words.
    var line: String {
        "\(name) \((Ratio.median(of: times.sorted()) / Double(count) * 10).rounded() / 10) ns"
    }

    func measure() { times.append(Double(batch()) / Double(repeats)) }
}

/// Times all subjects in rounds, one after the other in each, starting one further every time: what the machine does
/// meanwhile it does to all of them.
func interleave(_ subjects: [Subject], rounds: Int) {
    for subject in subjects { subject.warmUp() }
    for round in 0..<rounds {
        for index in subjects.indices { subjects[(index + round) % subjects.count].measure() }
    }
}

/// The ratio of two subjects, round by round.
struct Ratio {
    let median: Double
    let least: Double
    let most: Double

    init(_ subject: [Double], to base: [Double]) {
        let ratios = zip(subject, base).map { $0 / $1 }.sorted()
        median = Self.median(of: ratios)
        (least, most) = (ratios.first ?? .nan, ratios.last ?? .nan)
    }

    static func median(of sorted: [Double]) -> Double {
        guard !sorted.isEmpty else { return .nan }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
