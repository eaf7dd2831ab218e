import Testing

@testable import Analysis

/// Where labels go.
@Suite struct LayoutTests {
    @Test func labelsKeepTheirOrderAndTheirDistance() {
        #expect(Drawing.spread([90, 50, 10], distance: 10, below: 100) == [90, 50, 10])
        #expect(Drawing.spread([50, 50, 50], distance: 10, below: 100) == [50, 40, 30])
        #expect(Drawing.spread([5, 4, 3], distance: 10, below: 100) == [20, 10, 0])
        #expect(Drawing.spread([120, 119], distance: 10, below: 100) == [100, 90])
    }
}
