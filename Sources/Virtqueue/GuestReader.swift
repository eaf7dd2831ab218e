import GuestMemory

/// How a device gets at guest memory of which it does not know that it is shared: under a pin that lasts for the copy.
///
/// A request's header and its indirect table may lie anywhere; what this module reads there, it has copied first.
public protocol GuestReader: ~Copyable {
    /// Copies bytes of guest memory, which lie in `pages`, to private memory; false where they cannot be had, since a page
    /// is private, say.
    mutating func copy(
        _ source: UnsafeRawBufferPointer, in pages: PageRange, to target: UnsafeMutableRawPointer
    ) -> Bool
}

/// Pages that a device knows to be shared for as long as it serves the queue, so that it reads and writes there without
/// a pin for the request.
struct RegisteredPages {
    let address: UInt64
    let byteCount: UInt64
    let base: UnsafeMutableRawPointer

    init(_ range: PageRange, in memory: GuestView) throws(RingError) {
        address = range.start.address
        byteCount = range.count.bytes.rawValue
        guard let base = memory.pointer(to: address, byteCount: byteCount) else {
            throw .registered(range)
        }
        self.base = base
    }

    /// Where bytes lie here; nil where they are not wholly registered.
    func pointer(to address: UInt64, byteCount: UInt64) -> UnsafeMutableRawPointer? {
        guard address >= self.address, byteCount <= self.byteCount else { return nil }
        let offset = address - self.address
        guard offset <= self.byteCount - byteCount else { return nil }
        return base + Int(offset)
    }
}
