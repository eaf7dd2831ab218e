/// In which order `count` of a kind come in turn number `turn`.
///
/// Over as many turns as there are of the kind, twice as many of an odd number, each comes equally often in each place, and
/// equally often right after each other one: a Latin square balanced for what one leaves to the next (E. J. Williams,
/// "Experimental Designs Balanced for the Estimation of Residual Effects of Treatments", 1949).
public func balancedOrder(of count: Int, turn: UInt64) -> [Int] {
    guard count > 0 else { return [] }
    // 0, 1, -1, 2, -2, ...: each step from one to the next is another one.
    var walk = (0..<count).map { $0 % 2 == 1 ? ($0 + 1) / 2 : count - $0 / 2 }
    if count % 2 == 1, turn % 2 == 1 { walk.reverse() }
    let shift = Int(turn % UInt64(count))
    return walk.map { ($0 + shift) % count }
}
