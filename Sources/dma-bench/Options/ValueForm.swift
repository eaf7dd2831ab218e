import ArgumentParser
import Experiment
import GuestMemory
import Settings

/// How a value is written: on the command line, and in the text that a plan's hash is made of.
struct ValueForm<Value: Sendable>: Sendable {
    typealias Reader<Result> = @Sendable (String, String) throws(UsageError) -> Result

    /// Takes a text and the option that it belongs to.
    let read: Reader<Value>
    /// The same for a list.
    let readList: Reader<[Value]>
    let word: @Sendable (Value) -> String
    let completion: CompletionKind?

    private init(
        read: @escaping Reader<Value>, readList: @escaping Reader<[Value]>,
        word: @escaping @Sendable (Value) -> String, completion: CompletionKind?
    ) {
        self.read = read
        self.readList = readList
        self.word = word
        self.completion = completion
    }

    /// Lists are of single values; a form of numbers steps over `raw` in ranges.
    init(
        read: @escaping Reader<Value>, word: @escaping @Sendable (Value) -> String,
        raw: (@Sendable (Value) -> UInt64)? = nil, completion: CompletionKind? = nil
    ) {
        self.read = read
        self.word = word
        self.completion = completion
        readList = { text, option throws(UsageError) in
            let element = { (element: String) throws(UsageError) in try read(element, option) }
            guard let raw else { return try Quantity.list(text, option: option, element) }
            return try Quantity.numbers(text, option: option, raw: raw, element)
        }
    }

    /// A value that may also be missing; a text never says so.
    var orNil: ValueForm<Value?> {
        ValueForm<Value?>(
            read: { text, option throws(UsageError) in try read(text, option) },
            readList: { text, option throws(UsageError) in try readList(text, option) },
            word: { $0.map(word) ?? "" }, completion: completion)
    }
}

extension ValueForm {
    /// One of some names, each with what it stands for; what was called otherwise by earlier versions is still read.
    static func names(
        _ names: [(String, Value)], formerly: [String: Value] = [:]
    ) -> ValueForm where Value: Equatable {
        ValueForm(
            read: { text, option throws(UsageError) in
                if let value = formerly[text] { return value }
                return try Choice.named(text, option: option, among: names)
            },
            word: { value in names.first { $0.1 == value }!.0 },
            completion: .list(names.map(\.0)))
    }

    /// One of the names of a type's cases.
    static func cases(formerly: [String: Value] = [:]) -> ValueForm
    where Value: CaseIterable & RawRepresentable<String> & Equatable {
        names(Value.allCases.map { ($0.rawValue, $0) }, formerly: formerly)
    }

    /// A whole number within limits.
    static func count(_ limits: ClosedRange<UInt64>) -> ValueForm where Value: FixedWidthInteger {
        ValueForm(
            read: { text, option throws(UsageError) in
                Value(try Quantity.count(text, option: option, in: limits))
            },
            word: { "\($0)" }, raw: { UInt64($0) })
    }
}

extension ValueForm<PageCount> {
    /// A size in bytes that is a whole number of pages.
    static var size: ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in try Quantity.pages(text, option: option) },
            word: { "\($0.bytes.rawValue)" }, raw: \.bytes.rawValue)
    }

    /// A number of pages within limits.
    static func pages(_ limits: ClosedRange<UInt64>) -> ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                PageCount(try Quantity.count(text, option: option, in: limits))
            },
            word: { "\($0.rawValue)" }, raw: \.rawValue)
    }
}

extension ValueForm<UInt64> {
    /// A time in nanoseconds, within limits.
    static func duration(_ limits: ClosedRange<UInt64>) -> ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                try Quantity.duration(text, option: option, in: limits)
            },
            word: { "\($0)ns" })
    }
}

extension ValueForm<LoopRate> {
    /// So many a second, or one after the other.
    static func rate(_ limits: ClosedRange<UInt64>) -> ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                if text == "max" { return .max }
                return .perSecond(try Quantity.count(text, option: option, in: limits))
            },
            word: { "\($0)" }, raw: \.order)
    }
}

extension ValueForm<Double> {
    /// A percentage above zero, as a share.
    static var share: ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                guard text.hasSuffix("%"), let percent = Double(text.dropLast()), percent > 0,
                    percent <= 100
                else {
                    throw UsageError("\(option) \(text): write a percentage above 0, as in 2%")
                }
                return percent / 100
            },
            word: { "\($0)" })
    }
}
