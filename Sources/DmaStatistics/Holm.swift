/// The p values of several tests, adjusted so that the probability of even one false alarm among
/// all of them stays below the level that each is compared with (Holm, A Simple Sequentially
/// Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979).
public func holm(_ p: [Double]) -> [Double] {
    var adjusted = p
    var least = 0.0
    for (place, index) in p.indices.sorted(by: { p[$0] < p[$1] }).enumerated() {
        least = max(least, min(1, p[index] * Double(p.count - place)))
        adjusted[index] = least
    }
    return adjusted
}
