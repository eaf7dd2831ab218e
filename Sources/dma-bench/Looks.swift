import Analysis
import PinLock

extension StrategyLooks {
    /// Of every strategy of the registry.
    static let ofRegistry = StrategyLooks(
        Registry.all.map { ($0.info.name, $0.info.family.colour, $0.info.place) })
}

extension StrategyFamily {
    fileprivate var colour: Look.Colour {
        switch self {
        case .pages: .vermilion
        case .tree: .blue
        case .keepers: .green
        case .lists: .purple
        case .askers: .orange
        case .detours: .skyBlue
        case .unsafe: .black
        }
    }
}
