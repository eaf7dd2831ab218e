import DmaLinux
import GuestMemory
import PinLock

/// What the host does with the memory of a page that becomes private: part of the conversion, and of what it costs.
final class PrivateMemory: PageStateEffect {
    let isPaidFor = true
    /// The memory that devices map.
    private let shared: GuestView
    /// Where private pages lie: the same, unless they have frames of their own.
    private let frames: GuestView
    /// Whether the guest frees the pages that it takes from the devices.
    private let frees: Bool

    /// Nil where there is nothing to do.
    init?(shared: GuestView, frames: GuestView, frees: Bool) {
        self.shared = shared
        self.frames = frames
        self.frees = frees
        guard frees || hasOwnFrames else { return nil }
    }

    private var hasOwnFrames: Bool { frames.mapping !== shared.mapping }

    func willCommit(_ range: PageRange, to state: PageState) throws(SystemError) {
        guard state == .private else { return }
        let start = Int(range.start.address)
        let bytes = start..<start + Int(range.count.bytes.rawValue)
        if frees {
            try shared.mapping.discard(bytes)
            // What the page held the last time it was private goes, too.
            if hasOwnFrames { try frames.mapping.discard(bytes) }
        } else {
            try frames.mapping.populate(bytes)
        }
    }
}
