import Glibc

/// The command line of a device process: `dma-bench device INDEX PARENT CPU`, where CPU may be `any`.
///
/// Not for people: a hypervisor starts it, with the descriptors of `InheritedDescriptor` open.
public struct DeviceArguments: Equatable, Sendable {
    public static let command = "device"

    public var index: Int
    public var parent: Int32
    public var processor: Int?

    /// For a child of this process.
    public init(index: Int, processor: Int?) {
        self.index = index
        parent = getpid()
        self.processor = processor
    }

    /// Reads what `commandLine` wrote; nil where it is anything else.
    public init?(_ arguments: [String]) {
        guard arguments.count == 5, arguments[1] == Self.command, let index = Int(arguments[2]),
            let parent = Int32(arguments[3])
        else { return nil }
        self.index = index
        self.parent = parent
        processor = Int(arguments[4])
    }

    public var commandLine: [String] {
        [
            "dma-bench", Self.command, String(index), String(parent),
            processor.map(String.init) ?? "any",
        ]
    }
}
