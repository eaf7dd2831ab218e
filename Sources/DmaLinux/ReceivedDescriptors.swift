import Glibc

/// Descriptors that came over a socket, in order, of which nobody else knows: what is not taken is closed.
public struct ReceivedDescriptors: ~Copyable, Sendable {
    private var numbers: [Int32]

    public init() { numbers = [] }

    /// Takes over `numbers`, which nobody else may close.
    public init(owning numbers: [Int32]) { self.numbers = numbers }

    deinit { for number in numbers { close(number) } }

    public var count: Int { numbers.count }

    /// The first of those that are left; nil where none is.
    public mutating func take() -> FileDescriptor? {
        numbers.isEmpty ? nil : FileDescriptor(owning: numbers.removeFirst())
    }

    /// Takes over more, behind those that are there.
    mutating func append(_ more: some Sequence<Int32>) { numbers += more }
}
