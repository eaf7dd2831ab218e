import Testing

@testable import DmaReport

@Suite struct HumanTests {
    @Test(
        arguments: [
            (0, "0 ns"), (5.94, "5.9 ns"), (9.96, "10 ns"), (23, "23 ns"), (23.4, "23 ns"),
            (120, "120 ns"), (999.4, "999 ns"), (999.6, "1.00 us"), (1_450_000, "1.45 ms"),
            (999_499, "999 us"), (999_500, "1.00 ms"), (53_000_000, "53.0 ms"), (2.5e11, "250 s"),
            (.nan, "n/a"), (nil, "n/a"),
        ] as [(Double?, String)])
    func durations(nanoseconds: Double?, text: String) {
        #expect(Human.duration(nanoseconds) == text)
    }

    @Test(
        arguments: [
            (0, "0 %"), (0.029, "2.9 %"), (3e-7, "0.00003 %"), (3.14e-7, "0.000031 %"),
            (0.0999, "10 %"), (0.00996, "1 %"), (0.5, "50 %"), (1, "100 %"), (12.34, "1200 %"),
            (Double.leastNonzeroMagnitude, "0 %"), (nil, "n/a"),
        ] as [(Double?, String)])
    func percentages(fraction: Double?, text: String) {
        #expect(Human.percent(fraction) == text)
    }

    @Test func percentagesAreNeverScientific() {
        for exponent in -90...15 {
            var value = 1.0
            for _ in 0..<abs(exponent) { value = exponent < 0 ? value / 10 : value * 10 }
            for factor in [1, 2.5, 9.94, 9.96] {
                let text = Human.percent(value * factor)
                #expect(text.dropLast(2).allSatisfy { $0.isNumber || $0 == "." }, "\(text)")
                let read = Double(text.dropLast(2)) ?? .nan
                #expect(abs(read / (value * factor * 100) - 1) < 0.051, "\(text)")
            }
        }
    }

    @Test func sizesAreExact() {
        #expect(Human.size(bytes: 1 << 30) == "1 GiB")
        #expect(Human.size(bytes: 4096) == "4 KiB")
        #expect(Human.size(bytes: (1 << 30) + 4096) == "1048580 KiB")
        #expect(Human.size(bytes: 0) == "0 B")
        #expect(Human.size(bytes: .max) == "18446744073709551615 B")
    }

    @Test func others() {
        #expect(Human.throughput(18.94 * 1_073_741_824) == "18.9 GiB/s")
        #expect(Human.throughput(1e30) == "909000000000000000 TiB/s")
        #expect(Human.grouped(262_144) == "262,144")
        #expect(Human.grouped(999) == "999")
        #expect(Human.nanoseconds(1_546_000) == "1,550,000 ns")
        #expect(Human.nanoseconds(23.4) == "23 ns")
        #expect(Human.nanoseconds(5.94) == "5.9 ns")
    }

    @Test func wrapping() {
        #expect(Text.wrapped("one two three", width: 7) == ["one two", "three"])
        #expect(Text.wrapped("unbreakable", width: 3) == ["unbreakable"])
        #expect(Text.wrapped("", width: 3) == [])
        #expect(Text.printable("a\n\u{1B}[1mb\u{9F}") == "a  [1mb ")
    }
}
