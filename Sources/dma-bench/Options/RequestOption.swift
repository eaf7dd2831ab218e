import ArgumentParser
import DmaReport
import Experiment
import PinLock
import Settings

/// An option that decides what is measured, described once: its name and help, how its text is read, what the plan's
/// hash and the rows say of it.
struct RequestOption: Sendable {
    /// Without the dashes; a job file's word, too.
    let name: String
    let help: ArgumentHelp
    let completion: CompletionKind?
    /// Gives a text its meaning.
    let read: @Sendable (String, inout Request) throws(UsageError) -> Void
    /// What the request says of it, in words that stay the same from version to version; nil where it says only how much
    /// of a plan is run.
    private(set) var word: (@Sendable (Request) -> String)?
    /// Puts its column into a cell's row.
    private(set) var fill: @Sendable (Cell, inout Row) -> Void = { _, _ in }
    /// Which strategies make use of it; given where none does, it is refused.
    private(set) var usedBy: (@Sendable (any PinStrategy.Type) -> Bool)?

    var option: String { "--" + name }

    init(
        _ name: String, _ help: ArgumentHelp, completion: CompletionKind? = nil,
        read: @escaping @Sendable (String, inout Request) throws(UsageError) -> Void
    ) {
        self.name = name
        self.help = help
        self.completion = completion
        self.read = read
    }

    /// A setting of every cell.
    init<Value>(
        _ name: String, _ help: ArgumentHelp, _ form: ValueForm<Value>,
        sets setting: Request.Setting<Value>
    ) {
        self.init(name, help, completion: form.completion) { text, request throws(UsageError) in
            request.settings[keyPath: setting] = try form.read(text, "--" + name)
        }
        word = { form.word($0.settings[keyPath: setting]) }
    }

    /// A setting that may take several values: cells are the product.
    init<Value>(
        _ name: String, _ help: ArgumentHelp, _ form: ValueForm<Value>,
        varies setting: Request.Setting<Value>
    ) {
        self.init(name, help, completion: form.completion) { text, request throws(UsageError) in
            request.vary(
                setting, over: try form.readList(text, "--" + name), option: "--" + name)
        }
        word = { $0.values(of: setting).map(form.word).joined(separator: ",") }
    }

    /// What holds for the machine or the run.
    init<Value>(
        _ name: String, _ help: ArgumentHelp, _ form: ValueForm<Value>,
        ofRun property: WritableKeyPath<Request, Value> & Sendable, decidesFigures: Bool
    ) {
        self.init(name, help, completion: form.completion) {
            text, request throws(UsageError) in
            request[keyPath: property] = try form.read(text, "--" + name)
        }
        if decidesFigures { word = { form.word($0[keyPath: property]) } }
    }

    /// The same option with what the request says of it, in the plan's hash.
    func identified(
        by word: @escaping @Sendable (Request) -> String
    ) -> RequestOption {
        var option = self
        option.word = word
        return option
    }

    /// The same option with a column, or one more, in the rows of its cells.
    func column<Value>(
        _ column: WritableKeyPath<Row, Value> & Sendable,
        _ value: @escaping @Sendable (Cell) -> Value
    ) -> RequestOption {
        var option = self
        option.fill = { [fill] cell, row in
            fill(cell, &row)
            row[keyPath: column] = value(cell)
        }
        return option
    }

    func used(by strategies: @escaping @Sendable (any PinStrategy.Type) -> Bool) -> RequestOption {
        var option = self
        option.usedBy = strategies
        return option
    }
}

/// Options of one kind: what the parser fills, and what each of them means.
protocol RequestOptions: ParsableArguments {
    /// The options, and where their texts are; a text is nil where nobody gave one.
    static var options: [(RequestOption, @Sendable (Self) -> String?)] { get }
}

extension RequestOptions {
    /// What was written, by the names of the options.
    var texts: [String: String] {
        Dictionary(
            uniqueKeysWithValues: Self.options.compactMap { option, text in
                text(self).map { (option.name, $0) }
            })
    }
}

extension Option {
    /// A text with a default.
    init(wrappedValue: Value, _ option: RequestOption) where Value == String {
        self.init(
            wrappedValue: wrappedValue, name: .customLong(option.name), parsing: .unconditional,
            help: option.help, completion: option.completion)
    }

    /// A text that may be missing.
    init(_ option: RequestOption) where Value == String? {
        self.init(
            name: .customLong(option.name), parsing: .unconditional, help: option.help,
            completion: option.completion)
    }
}
