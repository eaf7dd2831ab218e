import Glibc
import PinLock

/// The command line of a device process: `dma-bench device INDEX PARENT CPU`, where CPU may be `any`.
///
/// Not for people: a hypervisor starts it, with the descriptors of `InheritedDescriptor` open.
public struct DeviceArguments: Equatable, Sendable {
    public static let command = "device"
    private static let anyProcessor = "any"

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
            (0..<Arena.deviceCapacity).contains(index), let parent = Int32(arguments[3])
        else { return nil }
        self.index = index
        self.parent = parent
        guard arguments[4] != Self.anyProcessor else { return }
        guard let processor = Int(arguments[4]), processor >= 0 else { return nil }
        self.processor = processor
    }

    public var commandLine: [String] {
        [
            "dma-bench", Self.command, String(index), String(parent),
            processor.map(String.init) ?? Self.anyProcessor,
        ]
    }
}
