import DmaStatistics
import Testing

@Suite struct SplitMix64Tests {
    /// The first numbers of the reference implementation for this seed.
    @Test func isSplitMix64() {
        var source = SplitMix64(seed: 1_234_567)
        #expect(
            (0..<5).map { _ in source.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test func staysBelowItsBound() {
        var source = SplitMix64(seed: 3)
        for bound in [1, 2, 3, 1000, UInt64.max] as [UInt64] {
            #expect((0..<200).allSatisfy { _ in source.below(bound) < bound })
        }
        #expect(Set((0..<200).map { _ in source.below(3) }) == [0, 1, 2])
    }
}
