import Glibc

/// Quantities as people read them; what was not measured is `n/a`.
package enum Human {
    package static let missing = "n/a"

    /// Of nanoseconds: `23 ns`, `5.9 ns`, `1.45 ms`; three digits, whole nanoseconds from ten on.
    package static func duration(_ nanoseconds: Double?) -> String {
        guard let nanoseconds, nanoseconds.isFinite else { return missing }
        if nanoseconds < 10 { return decimal(nanoseconds, digits: 2) + " ns" }
        if nanoseconds < 999.5 {
            return decimal(nanoseconds.rounded(), digits: 3, trimmed: true) + " ns"
        }
        return scaled(nanoseconds, by: 1000, units: ["ns", "us", "ms", "s"])
    }

    /// Of bytes per second: `18.9 GiB/s`.
    package static func throughput(_ bytesPerSecond: Double?) -> String {
        guard let bytesPerSecond, bytesPerSecond.isFinite else { return missing }
        return scaled(bytesPerSecond, by: 1024, units: ["B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"])
    }

    package static func size(bytes: UInt64?) -> String {
        guard let bytes else { return missing }
        return size(bytes: bytes)
    }

    /// Exact, in the largest unit that divides it: `1 GiB`, `4 KiB`, `262145 KiB`.
    package static func size(bytes: UInt64) -> String {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        where bytes != 0 && bytes & ((1 << shift) - 1) == 0 {
            return "\(bytes >> shift) \(unit)"
        }
        return "\(bytes) B"
    }

    /// Two digits, never scientific: `2.9 %`, `0.00003 %`.
    package static func percent(_ fraction: Double?) -> String {
        guard let fraction, fraction.isFinite else { return missing }
        return decimal(fraction * 100, digits: 2, trimmed: true) + " %"
    }

    /// Never in a larger unit: `1,550,000 ns`.
    static func nanoseconds(_ nanoseconds: Double?) -> String {
        guard let nanoseconds, nanoseconds.isFinite else { return missing }
        if nanoseconds < 10 { return decimal(nanoseconds, digits: 2) + " ns" }
        return grouped(decimal(nanoseconds.rounded(), digits: 3, trimmed: true)) + " ns"
    }

    package static func count(_ number: UInt64?) -> String { number.map { String($0) } ?? missing }

    /// `262,144`.
    package static func grouped(_ number: UInt64) -> String { grouped(String(number)) }

    private static func grouped(_ digits: String) -> String {
        var text = ""
        for (index, digit) in digits.reversed().enumerated() {
            if index > 0 && index % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }

    /// A number of at least zero, rounded to so many significant digits, without an exponent.
    package static func decimal(_ value: Double, digits: Int, trimmed: Bool = false) -> String {
        // Below the guard, a power of ten would underflow.
        guard value.isFinite, value > 1e-100 else { return "0" }
        var exponent = Int(floor(log10(value)))
        var significand = (value / pow(10, Double(exponent - digits + 1))).rounded()
        if significand >= pow(10, Double(digits)) {
            significand /= 10
            exponent += 1
        }
        var text = String(UInt64(significand))
        let decimals = digits - 1 - exponent
        if decimals <= 0 { return text + String(repeating: "0", count: -decimals) }
        if text.count <= decimals {
            text = String(repeating: "0", count: decimals + 1 - text.count) + text
        }
        text.insert(".", at: text.index(text.endIndex, offsetBy: -decimals))
        if trimmed {
            while text.hasSuffix("0") { text.removeLast() }
            if text.hasSuffix(".") { text.removeLast() }
        }
        return text
    }

    /// Three digits in the unit that leaves fewer than four before the point.
    private static func scaled(_ value: Double, by step: Double, units: [String]) -> String {
        var value = value
        var index = 0
        while value >= 999.5, index < units.count - 1 {
            value /= step
            index += 1
        }
        return decimal(value, digits: 3) + " " + units[index]
    }
}
