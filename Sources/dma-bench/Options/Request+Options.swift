import Experiment
import PinLock

extension DmaBench {
    /// What the options ask for.
    func request() throws(UsageError) -> Request {
        var texts = guest.texts
        for more in [load.texts, replay.texts, conversions.texts, machine.texts, turns.texts] {
            texts.merge(more) { _, new in new }
        }
        // The broken ones are there to be caught, which outside the buffers nobody can.
        if texts["convert-where"] == nil, texts["strategy"] == "unsafe" {
            texts["convert-where"] = "inside"
        }
        return try Request(texts)
    }

    /// Everything that decides what is measured, in the order of the help.
    static let requestOptions: [RequestOption] =
        GuestOptions.options.map(\.0) + LoadOptions.options.map(\.0)
        + TraceOptions.options.map(\.0)
        + ConversionOptions.options.map(\.0) + DeviceOptions.options.map(\.0)
        + RunOptions.options.map(\.0)
}

extension Request {
    /// What is asked for by texts of options, by their names.
    init(_ texts: [String: String]) throws(UsageError) {
        self.init()
        for option in DmaBench.requestOptions {
            if let text = texts[option.name] { try option.read(text, &self) }
        }
        if let text = texts["dma-arrivals"], values(of: \.dmaRate) == [.max] {
            throw UsageError(
                "--dma-arrivals \(text): there is no rate at which requests fall due; give --dma-rate"
            )
        }
        if let text = texts["read-engine"], values(of: \.direction) == [.write], tracePath == nil {
            throw UsageError(
                "--read-engine \(text): no device reads; give --direction read or mixed:50")
        }
        let strategies = values(of: \.strategy).map(\.type)
        for option in DmaBench.requestOptions {
            guard let uses = option.usedBy, let text = texts[option.name],
                !strategies.contains(where: uses)
            else { continue }
            let users = Registry.all.filter(uses).map { $0.info.name }.joined(separator: ",")
            throw UsageError(
                "\(option.option) \(text): none of the strategies uses it; \(users) does (--strategy \(users))"
            )
        }
    }

    /// All that decides what a turn measures, as text: the same for every part of a plan, and however long it runs.
    var identity: String {
        DmaBench.requestOptions.compactMap { option in
            option.word.map { "\(option.name)=\($0(self))" }
        }.joined(separator: ";")
    }
}
