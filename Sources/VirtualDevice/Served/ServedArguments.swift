import Glibc

/// The command line of a device process that serves: `dma-bench served-device PARENT`.
///
/// Not for people: a hypervisor starts it, with the descriptors of `ServedDescriptor` open.
public struct ServedArguments: Equatable, Sendable {
    public static let command = "served-device"

    public var parent: Int32

    /// For a child of this process.
    public init() { parent = getpid() }

    /// Reads what `commandLine` wrote; nil where it is anything else.
    public init?(_ arguments: [String]) {
        guard arguments.count == 3, arguments[1] == Self.command, let parent = Int32(arguments[2])
        else { return nil }
        self.parent = parent
    }

    public var commandLine: [String] { ["dma-bench", Self.command, String(parent)] }
}
