import Synchronization

extension UnsafeMutableRawPointer {
    /// The word at a byte offset, for memory that the other side reads and writes at any time.
    ///
    /// Every access to a queue goes through here. A relaxed atomic load is not there for its order
    /// but because the compiler may not repeat it: a value that was checked is the value that is
    /// used. Fields are little-endian (VIRTIO 1.2, 1.4), as is x86-64.
    func word<Value: AtomicRepresentable>(
        _: Value.Type, at offset: Int
    ) -> UnsafeMutablePointer<Atomic<Value>> {
        (self + offset).assumingMemoryBound(to: Atomic<Value>.self)
    }
}
