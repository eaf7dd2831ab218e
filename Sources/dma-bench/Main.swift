import ArgumentParser
import Glibc
import Linux
import PinLock
import VirtualDevice

@main
enum Main {
    static func main() {
        if CommandLine.arguments.dropFirst().first == DeviceArguments.command {
            Status.exit(runDevice())
        }
        Interruption.install()
        do {
            var command = try DmaBench.parseAsRoot(
                JobFile.expand(Array(CommandLine.arguments.dropFirst())))
            try command.run()
        } catch let failure as Failure {
            Status.exit(failure)
        } catch {
            exitFromParser(error)
        }
    }

    /// The virtual-device process: everything it needs is inherited.
    private static func runDevice() -> Failure? {
        guard let arguments = DeviceArguments(CommandLine.arguments) else {
            return Failure(.usage, "'device' is for the program itself; see dma-bench --help")
        }
        do throws(SystemError) {
            let process = try DeviceProcess(
                device: DeviceID(arguments.index), parent: arguments.parent,
                processor: arguments.processor)
            try process?.run()
            return nil
        } catch {
            return Failure(.internalError, "device \(arguments.index): \(error)")
        }
    }

    /// Help goes to standard output, an error is one line.
    private static func exitFromParser(_ error: any Error) -> Never {
        let code = DmaBench.exitCode(for: error)
        guard code.isSuccess else {
            Status.exit(Failure(.usage, DmaBench.message(for: error) + "; see dma-bench --help"))
        }
        print(DmaBench.fullMessage(for: error))
        Status.exit(nil)
    }
}
