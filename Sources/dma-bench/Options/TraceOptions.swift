import ArgumentParser
import DmaReport
import Experiment
import Settings
import Trace

/// A recorded load in place of a driver's own requests.
struct TraceOptions: RequestOptions {
    @Option(Self.traceOption) var trace: String?
    @Option(Self.speedOption) var speed = "1"

    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (traceOption, { $0.trace }), (speedOption, { $0.speed }),
    ]

    private static let traceOption = RequestOption(
        "trace", "Replay what a guest sent, from a file of serve --record; one pass is a turn.",
        completion: .file()
    ) { text, request throws(UsageError) in
        request.tracePath = text
    }.identified { $0.trace?.identity ?? $0.tracePath ?? "" }
        .column(\.trace) { $0.trace?.label }

    private static let speedOption = RequestOption(
        "speed",
        "How much faster than recorded a trace is replayed: 2, 0.5, or max, as fast as it goes (list).",
        .speed, varies: \.speed
    ).column(\.speed) { $0.trace == nil ? nil : ValueForm.speed.word($0.settings.speed) }
}

extension ValueForm<TraceSpeed> {
    static var speed: ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                if text == "max" { return .max }
                guard let factor = Double(text), (0.001...1_000_000).contains(factor) else {
                    throw UsageError(
                        "\(option) \(text): a number from 0.001 to 1000000, as in 2 for twice as fast, or max"
                    )
                }
                return .times(factor)
            },
            word: {
                switch $0 {
                case .times(let factor):
                    factor == factor.rounded() ? "\(Int(factor))" : "\(factor)"
                case .max: "max"
                }
            })
    }
}

extension Request {
    /// Reads the trace that is asked for, where one is.
    mutating func readTrace() throws(UsageError) {
        guard let path = tracePath else { return }
        let bytes: [UInt8]
        do throws(InputError) {
            bytes = try InputFile.read(path, limit: Trace.byteLimit)
        } catch {
            throw UsageError("--trace \(error)")
        }
        let name = path.split(separator: "/").last.map(String.init) ?? path
        do throws(TraceError) {
            trace = ReplayedTrace(
                try Trace(bytes), name: Text.printable(name),
                identity: Text.hash(String(decoding: bytes, as: UTF8.self)))
        } catch {
            throw UsageError("--trace \(path), \(error)")
        }
    }
}
