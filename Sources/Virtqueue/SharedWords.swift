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
        #if FUZZ
            guestMoves()
        #endif
        return (self + offset).assumingMemoryBound(to: Atomic<Value>.self)
    }
}

#if FUZZ
    /// What a hostile guest does just before each access to a queue, in a fuzzer's build (Tests/Fuzz/run.sh) alone.
    nonisolated(unsafe) public var guestMoves: () -> Void = {}
#endif
