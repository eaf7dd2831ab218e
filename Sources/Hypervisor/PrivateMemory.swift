import GuestMemory
import Linux

/// What the host does with the memory of a page that becomes private: part of the conversion, and of what it costs.
struct PrivateMemory: Sendable {
    /// The memory that devices map.
    let shared: GuestView
    /// Where private pages lie: the same, unless they have frames of their own.
    let frames: GuestView
    /// Whether the guest frees the pages that it takes from the devices.
    let frees: Bool

    private var hasOwnFrames: Bool { frames.mapping !== shared.mapping }

    func willBecomePrivate(_ range: PageRange) {
        let start = Int(range.start.address)
        let bytes = start..<start + Int(range.count.bytes.rawValue)
        // Discarding fails for huge pages alone, which a plan that frees has none of; where there is no memory for a
        // frame, its first touch says so.
        if frees {
            try? shared.mapping.discard(bytes)
            // What the page held the last time it was private goes, too.
            if hasOwnFrames { try? frames.mapping.discard(bytes) }
        } else if hasOwnFrames {
            try? frames.mapping.populate(bytes)
        }
    }
}
