import ArgumentParser
import DmaLinux
import DmaReport
import Experiment
import Glibc
import PinLock
import VirtualDevice

@main
enum Main {
    static func main() {
        occupyStandardStreams()
        if CommandLine.arguments.dropFirst().first == ServedArguments.command {
            Status.exit(runServedDevice())
        }
        if CommandLine.arguments.dropFirst().first == DeviceArguments.command {
            Status.exit(runDevice())
        }
        Interruption.install()
        fitHelp()
        do {
            var arguments = Array(CommandLine.arguments.dropFirst())
            try ErrorFormat.take(from: &arguments)
            var command = try parse(arguments)
            try command.run()
        } catch let failure as Failure {
            Status.exit(failure)
        } catch {
            do throws(Failure) {
                try exitFromParser(error)
            } catch {
                Status.exit(error)
            }
        }
    }

    /// The parser gives options after the name of a subcommand to the run where the run has them too. Those of `plot`,
    /// `ab` and `serve` are their own.
    private static func parse(_ arguments: [String]) throws -> any ParsableCommand {
        try checkHelp(arguments)
        let own: [any ParsableCommand.Type] = [
            PlotCommand.self, AbCommand.self, ServeCommand.self,
        ]
        guard let command = own.first(where: { $0.configuration.commandName == arguments.first })
        else { return try DmaBench.parseAsRoot(JobFile.expand(arguments)) }
        return try command.parseAsRoot(Array(arguments.dropFirst()))
    }

    /// The parser's own answer to a name that it does not know is the help of the whole program.
    private static func checkHelp(_ arguments: [String]) throws(Failure) {
        guard arguments.first == "help" else { return }
        let names =
            DmaBench.configuration.subcommands.compactMap { $0.configuration.commandName } + [
                "help"
            ]
        do throws(UsageError) {
            for name in arguments.dropFirst() where !name.hasPrefix("-") {
                _ = try Choice.named(name, option: "help", among: names.map { ($0, $0) })
            }
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    /// The first file opened would get the number of a closed stream, and rows or messages with it. What stands there
    /// now cannot be written to either.
    private static func occupyStandardStreams() {
        for stream in STDIN_FILENO...STDERR_FILENO where fcntl(stream, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDONLY)
        }
    }

    /// The parser's help traps on lines too short for its columns, and nobody reads lines of 200 characters.
    private static func fitHelp() {
        let stated = getenv("COLUMNS").flatMap { Int(String(cString: $0)) }
        guard let width = stated ?? Terminal.width(of: STDOUT_FILENO) else { return }
        setenv("COLUMNS", "\(min(max(width, 40), 100))", 1)
    }

    /// The virtual-device process: everything it needs is inherited.
    private static func runDevice() -> Failure? {
        guard let arguments = DeviceArguments(CommandLine.arguments) else {
            return Failure(.usage, "'device' is for the program itself; see dma-bench --help")
        }
        do throws(SystemError) {
            try DeviceProcess.run(
                device: DeviceID(arguments.index), parent: arguments.parent,
                processor: arguments.processor)
            return nil
        } catch {
            return Failure(.unavailable, "device \(arguments.index): \(error)")
        }
    }

    /// The same for a real guest.
    private static func runServedDevice() -> Failure? {
        guard let arguments = ServedArguments(CommandLine.arguments) else {
            return Failure(
                .usage, "'served-device' is for the program itself; see dma-bench --help")
        }
        do throws(SystemError) {
            try ServedDevice.run(parent: arguments.parent)
            return nil
        } catch {
            return Failure(.unavailable, "device 0: \(error)")
        }
    }

    /// Help goes to standard output, an error is one line.
    private static func exitFromParser(_ error: any Error) throws(Failure) -> Never {
        let code = DmaBench.exitCode(for: error)
        guard code.isSuccess else {
            Status.exit(Failure(.usage, DmaBench.message(for: error) + "; see dma-bench --help"))
        }
        try Status.print(DmaBench.fullMessage(for: error) + "\n")
        Status.exit(nil)
    }
}
