import GuestMemory
import Linux
import Synchronization

/// What the host does with the memory of a page that becomes private: part of the conversion, and of what it costs.
final class PrivateMemory: Sendable {
    /// The memory that devices map.
    let shared: GuestView
    /// Where private pages lie: the same, unless they have frames of their own.
    let frames: GuestView
    /// Whether the guest frees the pages that it takes from the devices.
    let frees: Bool

    private let failure = Mutex<SystemError?>(nil)

    init(shared: GuestView, frames: GuestView, frees: Bool) {
        self.shared = shared
        self.frames = frames
        self.frees = frees
    }

    /// The first time that the kernel refused: what the turn measured is no conversion then.
    var firstFailure: SystemError? { failure.withLock { $0 } }

    private var hasOwnFrames: Bool { frames.mapping !== shared.mapping }

    /// Whether there is anything to do for a page that becomes private.
    var isTouched: Bool { frees || hasOwnFrames }

    func willBecomePrivate(_ range: PageRange) {
        let start = Int(range.start.address)
        let bytes = start..<start + Int(range.count.bytes.rawValue)
        do throws(SystemError) {
            if frees {
                try shared.mapping.discard(bytes)
                // What the page held the last time it was private goes, too.
                if hasOwnFrames { try frames.mapping.discard(bytes) }
            } else if hasOwnFrames {
                try frames.mapping.populate(bytes)
            }
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
    }
}
