import Testing

@testable import Analysis

/// Where values lie on an axis, and what is written there.
@Suite struct RulerTests {
    private func texts(_ axis: Axis, _ values: [Double]) -> [String] {
        Ruler(axis, over: values).tics.compactMap(\.text)
    }

    @Test func sizesAreBinaryAndTimesAreDecimal() {
        let size = Axis(label: "", quantity: .bytes, scale: .logarithmic)
        #expect(
            texts(size, [4096, 1_073_741_824]) == [
                "4 KiB", "16 KiB", "64 KiB", "256 KiB", "1 MiB", "4 MiB", "16 MiB", "64 MiB",
                "256 MiB", "1 GiB",
            ])
        let time = Axis(label: "", quantity: .nanoseconds, scale: .logarithmic)
        #expect(
            texts(time, [50, 2e9]) == [
                "100 ns", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s",
            ])
        #expect(texts(time, [100, 1000]) == ["100 ns", "200 ns", "500 ns", "1 us"])
        let rate = Axis(label: "", quantity: .bytesPerSecond, scale: .linear)
        let gib = Double(1 << 30)
        #expect(texts(rate, [gib, 4 * gib]).contains("2.00 GiB/s"))
    }

    @Test func scalesPlaceValues() {
        let scales: [(Axis.Scale, [Double])] = [
            (.logarithmic, [1, 10, 100]), (.linear, [1, 2, 3]), (.nines, [0.9, 0.99, 0.999]),
            (.steps([0, 4096, 1_048_576]), [0, 4096, 1_048_576]),
        ]
        for (scale, values) in scales {
            let ruler = Ruler(Axis(label: "", quantity: .count, scale: scale), over: values)
            let places = values.map(ruler.place)
            #expect(abs(places[1] - (places[0] + places[2]) / 2) < 1e-9, "\(scale)")
            #expect(places[0] > 0 && places[2] < 1 && places[0] < places[2], "\(scale)")
        }
        let names = Ruler(
            Axis(label: "", quantity: .count, scale: .names(["a", "b"])), over: [0, 1])
        #expect(names.place(0) == 0.75 && names.place(1) == 0.25)
    }

    /// Values that no run has must not stop the program.
    @Test(arguments: [0, 1e-300, 1, 1e18, 1e300])
    func anythingHasAPlaceAndFewTics(_ value: Double) {
        for quantity in [
            Axis.Quantity.bytes, .bytesPerSecond, .nanoseconds, .share, .count, .factor,
        ] {
            for scale in [Axis.Scale.linear, .logarithmic] {
                for values in [[value], [value, 1]] {
                    let ruler = Ruler(
                        Axis(label: "", quantity: quantity, scale: scale), over: values)
                    #expect(ruler.place(value).isFinite, "\(quantity) \(scale) \(values)")
                    #expect(ruler.tics.count { $0.text != nil } < 40)
                }
            }
        }
    }
}
