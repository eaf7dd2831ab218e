import DmaStatistics
import Testing

@Suite struct HolmTests {
    /// By hand: 0.005 x 4, 0.01 x 3, 0.03 x 2, and no smaller than the one before.
    @Test(
        arguments: [
            ([], []), ([0.04], [0.04]),
            ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
            ([0.5, 0.9, 0.02], [1, 1, 0.06]),
        ] as [([Double], [Double])])
    func asByHand(_ p: [Double], _ adjusted: [Double]) {
        let result = holm(p)
        #expect(result.count == adjusted.count)
        for (one, other) in zip(result, adjusted) { #expect(abs(one - other) < 1e-12) }
    }
}
