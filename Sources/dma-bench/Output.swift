import DmaLinux
import DmaReport
import Experiment
import Glibc
import PinLock
import Telemetry

/// Where the rows of a run go: the sink, the environment beside it, the file of single DMAs, and the timeline.
final class Output {
    private var sink: RowSink
    private var rawFile: RawFile?
    private var timeline: Timeline?
    private let clock: TickClock
    private var environment: Environment

    /// Opens everything, so that what cannot be written fails before anything is measured.
    ///
    /// A run that is resumed starts with the rows it has, which are in its file already.
    init(
        _ format: Format, options: DmaBench, environment: Environment, clock: TickClock,
        clockStep: Double,
        earlier: [Row]
    ) throws {
        self.clock = clock
        self.environment = environment
        self.environment.clockStepNanoseconds = clockStep
        do throws(OutputError) {
            rawFile = try options.raw.map { path throws(OutputError) in try RawFile(path) }
            timeline = try options.timeline.map { path throws(OutputError) in
                try Timeline(path, clock: clock)
            }
            if let path = options.resume {
                sink = try RowSink.replacing(path, by: earlier, format)
            } else {
                sink = try RowSink(format, path: options.output)
            }
            try writeEnvironment()
            if let path = options.resume ?? options.output, sink.environmentPath == nil {
                Status.say(
                    "dma-bench: the environment is not written, since no file can lie beside "
                        + "\(Text.printable(path)); 'dma-bench env' prints it")
            }
        } catch {
            throw Failure(.inputOutput, error.description)
        }
    }

    /// Adds what the processors have shown to the environment beside the rows.
    func note(_ processors: Environment.Processors) throws(OutputError) {
        environment.processors = processors
        try writeEnvironment()
    }

    private func writeEnvironment() throws(OutputError) {
        if let path = sink.environmentPath { try environment.write(to: path) }
    }

    /// Writes a row, after the single DMAs that it sums up.
    func write(_ row: Row) throws(OutputError) {
        try rawFile?.flush()
        try sink.write(row)
    }

    var wantsSamples: Bool { rawFile != nil || eventLimit > 0 }

    var eventLimit: Int {
        timeline.map { $0.isFull ? 0 : Timeline.conversionLimit } ?? 0
    }

    /// Puts a turn on the timeline.
    func note(_ result: CellResult) throws(OutputError) { try timeline?.finished(result) }

    /// Ends what has an end of its own.
    func close() throws(OutputError) { try timeline?.close() }

    func raw(_ cell: Cell, _ round: Int, _ device: DeviceID, _ sample: DMASample) {
        timeline?.took(sample, device: device)
        guard let rawFile else { return }
        func nanoseconds(_ ticks: UInt64) -> String {
            let value: Double = clock.nanoseconds(from: ticks)
            // Finer than any clock counts.
            return "\((value * 10).rounded() / 10)"
        }
        rawFile.append([
            "\(round)", cell.strategy.info.name, cell.settings.policy.rawValue,
            "\(cell.settings.size.bytes.rawValue)", "\(cell.chunk.bytes.rawValue)",
            "\(cell.settings.ranges)", "\(cell.settings.devices)", cell.settings.engine.rawValue,
            "\(cell.settings.convertRate)", "\(cell.settings.convertPages.rawValue)",
            "\(device.rawValue)",
            "\(sample.generation)", "\(sample.status)", "\(sample.bytes)",
            nanoseconds(sample.pinTicks),
            nanoseconds(sample.writeTicks), nanoseconds(sample.unpinTicks),
            nanoseconds(sample.totalTicks),
            "\(sample.retries)", nanoseconds(sample.gapTicks),
        ])
    }
}
