import DmaLinux
import Glibc
import GuestMemory
import PinLock
import Synchronization

/// Guest memory in the devices' address spaces: which pages their stores can reach.
package final class DeviceMMU: PageStateEffect {
    /// Under a strategy that keeps devices from private pages by this.
    let isPaidFor: Bool
    private let mappings = Mutex<[Mapping]>([])

    private final class Mapping: Sendable {
        let protection: WriteProtection

        init(_ protection: consuming WriteProtection) { self.protection = protection }
    }

    init(isPaidFor: Bool) { self.isPaidFor = isPaidFor }

    /// Takes a device's mapping under control and protects what is private in it.
    package func add(
        _ protection: consuming WriteProtection, privateRanges: [PageRange]
    ) throws(SystemError) {
        for range in privateRanges { try protection.set(true, Self.bytes(of: range)) }
        let mapping = Mapping(protection)
        mappings.withLock { $0.append(mapping) }
    }

    /// Lets no device write to pages that become private from its return on, and all of them to pages that become shared.
    /// Throws the first refusal, once all have been tried: the promise is void then.
    func willCommit(_ range: PageRange, to state: PageState) throws(SystemError) {
        let failure = mappings.withLock { mappings in
            var first: SystemError?
            for mapping in mappings {
                do throws(SystemError) {
                    try mapping.protection.set(state == .private, Self.bytes(of: range))
                } catch {
                    // A process that is ending has no address space any more, and stores nothing.
                    if error.code != ESRCH { first = first ?? error }
                }
            }
            return first
        }
        if let failure { throw failure }
    }

    private static func bytes(of range: PageRange) -> Range<UInt64> {
        range.start.address..<range.start.address + range.count.bytes.rawValue
    }
}
