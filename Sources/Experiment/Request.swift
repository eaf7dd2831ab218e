import GuestMemory
import PinLock
import Settings

/// What is asked of a run: settings, those of them that take several values in turn, and how often and where.
public struct Request: Sendable {
    /// Of every cell, but for what varies.
    public var settings = TurnSettings()
    private(set) var axes: [Axis] = []

    /// The file of a recorded load, and what is in it once it has been read; nil for a driver's own requests.
    public var tracePath: String?
    public var trace: ReplayedTrace?

    public var rounds = 10
    /// Rounds end before that where every median is known to such a share of itself; nil where they do not.
    public var tolerance: Double?
    /// Rounds go on until every cell has so many that nothing disturbed; nil where they do not.
    public var quietRounds: Int?
    /// The part of the plan that this run carries out; nil for all of it.
    public var shard: Shard?

    public var memoryNode: Int?
    public var deviceProcessor: Int?
    public var vcpuProcessors: [Int] = []
    public var vcpus: Int?

    public init() {}

    public typealias Setting<Value> = WritableKeyPath<TurnSettings, Value> & Sendable

    /// A setting that takes several values, one after the other.
    struct Axis: Sendable {
        let setting: PartialKeyPath<TurnSettings> & Sendable
        /// What the user calls it.
        let option: String
        let values: [any Sendable]
        let set: @Sendable (inout TurnSettings, Int) -> Void
    }

    /// Has a setting take each of these values, of which there is one at least, in this order: cells are the product.
    /// `option` is what the user calls it.
    public mutating func vary<Value: Sendable>(
        _ setting: Setting<Value>, over values: [Value], option: String
    ) {
        precondition(!values.isEmpty, "\(option) without a value")
        settings[keyPath: setting] = values[0]
        axes.removeAll { $0.setting == setting }
        guard values.count > 1 else { return }
        axes.append(
            Axis(setting: setting, option: option, values: values) {
                $0[keyPath: setting] = values[$1]
            })
    }

    /// All values that a setting takes.
    public func values<Value>(of setting: Setting<Value>) -> [Value] {
        axes.first { $0.setting == setting }.map { $0.values as! [Value] }
            ?? [settings[keyPath: setting]]
    }

    /// From the slowest to the fastest: what changes least often comes first. Strategies change fastest of all, since they
    /// are what is compared; a setting that is not named here comes before them.
    private static let order: [PartialKeyPath<TurnSettings> & Sendable] = [
        \.backing, \.size, \.ranges, \.misalignment, \.devices, \.chunk, \.engine, \.policy,
        \.convertRate,
        \.convertPages,
    ]

    /// The axes in the order of the plan, that of the strategies left out.
    var groupAxes: [Axis] {
        func place(_ axis: Axis) -> Int {
            Self.order.firstIndex { $0 == axis.setting } ?? Self.order.count
        }
        return axes.filter { $0.setting != \TurnSettings.strategy }.sorted { place($0) < place($1) }
    }
}

/// One of `count` parts of a plan, counted from 1. Their union is the plan, and no cell is in two.
public struct Shard: Sendable, Equatable, CustomStringConvertible {
    public let index: Int
    public let count: Int

    public init(index: Int, count: Int) {
        precondition((1...count).contains(index), "no shard \(index)/\(count)")
        self.index = index
        self.count = count
    }

    public var description: String { "\(index)/\(count)" }
}
