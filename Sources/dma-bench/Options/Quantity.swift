import Experiment
import GuestMemory

/// Numbers as users write them: `262144`, `4K`, `1GiB`, `1,2,4`, `4K..1G:x4`.
enum Quantity {
    private static let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40, "P": 50]

    /// A size in bytes: digits and an IEC unit, K = 2^10 and so on, with or without `iB`.
    static func size(_ text: String, option: String) throws(UsageError) -> ByteCount {
        func refuse(_ reason: String) -> UsageError { UsageError("\(option) \(text): \(reason)") }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).uppercased()
        guard !digits.isEmpty else {
            throw refuse("not a size; write digits and a unit, as in 4K, 64M or 1G")
        }
        let symbol = unit.first.flatMap { shifts[$0] }
        switch unit.dropFirst() {
        case "B" where symbol != nil:
            throw refuse(
                "could mean powers of 1000 or of 1024; write \(digits)\(unit.prefix(1)) or \(digits)\(unit.prefix(1))iB for 1024"
            )
        case "", "IB": break
        default: throw refuse("unknown unit; use K, M, G or T (powers of 1024)")
        }
        guard unit.isEmpty || symbol != nil else {
            throw refuse("unknown unit; use K, M, G or T (powers of 1024)")
        }
        guard let number = UInt64(digits) else {
            throw refuse("too large; the largest guest is 16T")
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (symbol ?? 0))
        guard !overflow, bytes <= PageRange.frameLimit * pageSize else {
            throw refuse("too large; the largest guest is 16T")
        }
        return ByteCount(bytes)
    }

    /// A size that is a whole, positive number of pages.
    static func pages(_ text: String, option: String) throws(UsageError) -> PageCount {
        let bytes = try size(text, option: option)
        guard bytes.rawValue > 0 else {
            throw UsageError("\(option) \(text): must be at least 4K, one page")
        }
        guard let pages = PageCount(exactly: bytes) else {
            let down = bytes.rawValue / pageSize * 4
            throw UsageError(
                "\(option) \(text): not a whole number of 4K pages; the nearest are "
                    + (down > 0 ? "\(down)K and \(down + 4)K" : "4K and above"))
        }
        return pages
    }

    /// A whole number within limits.
    static func count(
        _ text: String, option: String, in limits: ClosedRange<UInt64>
    ) throws(UsageError) -> UInt64 {
        guard text.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt64(text),
            limits.contains(number)
        else {
            throw UsageError(
                "\(option) \(text): must be a whole number from \(limits.lowerBound) to \(limits.upperBound)"
            )
        }
        return number
    }

    /// A time in nanoseconds, within limits: digits and a unit, ns, us, ms or s; 0 needs none.
    static func duration(
        _ text: String, option: String, in limits: ClosedRange<UInt64>
    ) throws(UsageError) -> UInt64 {
        let units: [(String, UInt64)] = [
            ("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ]
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = String(text.dropFirst(digits.count))
        guard let number = UInt64(digits),
            let factor = number == 0 && unit.isEmpty ? 1 : units.first(where: { $0.0 == unit })?.1
        else {
            throw UsageError(
                "\(option) \(text): write whole digits and a unit, ns, us, ms or s, as in 500ms or 2s"
            )
        }
        let (value, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow, limits.contains(value) else {
            func word(_ value: UInt64) -> String {
                value == 0
                    ? "0" : units.last { value % $0.1 == 0 }.map { "\(value / $0.1)\($0.0)" }!
            }
            throw UsageError(
                "\(option) \(text): must be from \(word(limits.lowerBound)) to \(word(limits.upperBound))"
            )
        }
        return value
    }

    // MARK: Lists

    private static let listLimit = 4096

    /// The elements of `a,b,c`, each once.
    static func list<Value>(
        _ text: String, option: String, _ value: (String) throws(UsageError) -> Value
    ) throws(UsageError) -> [Value] {
        var values: [Value] = []
        for element in try elements(of: text, option: option) { values.append(try value(element)) }
        return values
    }

    /// The same for numbers, where an element may be a range `low..high:xN` or `low..high:+N`; `raw` is what it steps
    /// over.
    static func numbers<Value>(
        _ text: String, option: String, raw: (Value) -> UInt64,
        _ value: (String) throws(UsageError) -> Value
    ) throws(UsageError) -> [Value] {
        var values: [Value] = []
        for element in try elements(of: text, option: option) {
            guard let dots = element.firstRange(of: "..") else {
                values.append(try value(element))
                continue
            }
            let low = String(element[..<dots.lowerBound])
            let rest = element[dots.upperBound...].split(
                separator: ":", omittingEmptySubsequences: false)
            guard rest.count == 2, let step = rest[1].first, step == "x" || step == "+" else {
                throw UsageError(
                    "\(option) \(element): a range needs a step; write \(element)\(rest.count == 1 ? "" : " as \(low)..\(rest[0])"):x2 or :+\(low)"
                )
            }
            let (first, last) = (try value(low), try value(String(rest[0])))
            guard raw(first) <= raw(last) else {
                throw UsageError(
                    "\(option) \(element): the range is empty; its first value is above its last")
            }
            let by =
                step == "x"
                ? try count(
                    String(rest[1].dropFirst()), option: "\(option) \(element), step",
                    in: 2...1 << 30)
                : raw(try value(String(rest[1].dropFirst())))
            guard step == "x" ? raw(first) > 0 : by > 0 else {
                throw UsageError(
                    step == "x"
                        ? "\(option) \(element): multiplying 0 leads nowhere; write 0,1..\(rest[0]):\(rest[1])"
                        : "\(option) \(element): a step of 0 leads nowhere; write :+1 or more")
            }
            values += try steps(
                from: raw(first), through: raw(last), multiplies: step == "x", by: by,
                option: option
            )
            .map { number throws(UsageError) in try value(String(number)) }
        }
        var seen: Set<UInt64> = []
        return values.filter { seen.insert(raw($0)).inserted }
    }

    private static func steps(
        from first: UInt64, through last: UInt64, multiplies: Bool, by step: UInt64, option: String
    ) throws(UsageError) -> [UInt64] {
        var found: [UInt64] = []
        var next = first
        while next <= last {
            found.append(next)
            guard found.count <= listLimit else {
                throw UsageError("\(option): more than \(listLimit) values")
            }
            let (following, overflow) =
                multiplies
                ? next.multipliedReportingOverflow(by: step) : next.addingReportingOverflow(step)
            guard !overflow, following > next else { break }
            next = following
        }
        return found
    }

    private static func elements(of text: String, option: String) throws(UsageError) -> [String] {
        let elements = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard elements.allSatisfy({ !$0.isEmpty }) else {
            throw UsageError(
                "\(option) \(text): the list has a hole; write a,b,c without empty elements")
        }
        guard elements.count <= listLimit else {
            throw UsageError("\(option): more than \(listLimit) values")
        }
        var seen: Set<String> = []
        return elements.filter { seen.insert($0).inserted }
    }
}
