import Telemetry
import Testing

@Suite struct LatencyHistogramTests {
    @Test func nothingRecordedIsNoNumber() {
        let histogram = LatencyHistogram()
        #expect(histogram.count == 0)
        #expect(histogram.percentile(50) == nil)
        #expect(histogram.maximum == nil)
        #expect(histogram.sum == 0)
    }

    @Test func percentilesAreRightToThreeDigits() {
        var random = SystemRandomNumberGenerator()
        for magnitude in [10, 20, 30, 41] {
            var histogram = LatencyHistogram()
            var values: [UInt64] = []
            for _ in 0..<1000 {
                let value = UInt64.random(in: 0..<1 << magnitude, using: &random)
                values.append(value)
                histogram.record(value)
            }
            values.sort()
            for percent in [1, 50, 90, 99, 99.9, 100] {
                let rank = max(1, Int((percent * 10).rounded(.up)))
                let exact = values[rank - 1]
                let shown = histogram.percentile(percent) ?? 0
                #expect(
                    shown >= exact && Double(shown) <= Double(exact) * 1.001 + 1,
                    "\(percent) % of 2^\(magnitude): \(shown), exactly \(exact)")
            }
            #expect(histogram.count == 1000)
            #expect(histogram.maximum == values.last)
            #expect(histogram.sum == values.reduce(0, +))
            #expect(histogram.beyondLimit == 0)
        }
    }

    @Test func smallValuesAreExact() {
        var histogram = LatencyHistogram()
        for value: UInt64 in 0...100 { histogram.record(value) }
        #expect(histogram.percentile(50) == 50)
        #expect(histogram.percentile(99) == 99)
        #expect(histogram.maximum == 100)
    }

    @Test func moreThanAnHourIsCountedFlaggedAndExactInTheMaximum() {
        var histogram = LatencyHistogram()
        histogram.record(LatencyHistogram.limit)
        #expect(histogram.beyondLimit == 0)
        histogram.record(LatencyHistogram.limit + 1)
        histogram.record(UInt64.max)
        #expect(histogram.count == 3)
        #expect(histogram.beyondLimit == 2)
        #expect(histogram.maximum == UInt64.max)
        #expect(histogram.sum == UInt64.max)
        let highest = histogram.percentile(99) ?? 0
        #expect(abs(Double(highest) / Double(LatencyHistogram.limit) - 1) < 0.001)
    }

    @Test func resetForgetsAll() {
        var histogram = LatencyHistogram()
        histogram.record(UInt64.max)
        histogram.reset()
        #expect(histogram.count == 0 && histogram.sum == 0 && histogram.beyondLimit == 0)
        #expect(histogram.maximum == nil && histogram.percentile(99) == nil)
        histogram.record(5)
        #expect(histogram.percentile(100) == 5)
        #expect(histogram.maximum == 5)
    }

    @Test func tenOfThemTakeATwentiethOfTheHarnessBudget() {
        #expect(LatencyHistogram().footprint * 10 < (64 << 20) / 20)
    }
}
