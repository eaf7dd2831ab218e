import GuestMemory
import Linux
import Synchronization

/// Guest memory in the devices' address spaces: which pages their stores can reach.
final class DeviceMMU: Sendable {
    private let mappings = Mutex<[Mapping]>([])
    private let failure = Mutex<SystemError?>(nil)

    private final class Mapping: Sendable {
        let protection: WriteProtection

        init(_ protection: consuming WriteProtection) { self.protection = protection }
    }

    /// Takes a device's mapping under control and protects what is private in it.
    func add(
        _ protection: consuming WriteProtection, privateRanges: [PageRange]
    ) throws(SystemError) {
        for range in privateRanges { try protection.set(true, Self.bytes(of: range)) }
        let mapping = Mapping(protection)
        mappings.withLock { $0.append(mapping) }
    }

    /// Lets no device write to the range from its return on, or all of them. Free where there is no mapping.
    func set(_ isProtected: Bool, _ range: PageRange) {
        mappings.withLock { mappings in
            for mapping in mappings {
                do throws(SystemError) {
                    try mapping.protection.set(isProtected, Self.bytes(of: range))
                } catch {
                    // A process that is ending has no address space any more, and stores nothing.
                    if error.code != 3 { failure.withLock { $0 = $0 ?? error } }
                }
            }
        }
    }

    /// The first time that the kernel refused: the promise is void then.
    var firstFailure: SystemError? { failure.withLock { $0 } }

    private static func bytes(of range: PageRange) -> Range<UInt64> {
        range.start.address..<range.start.address + range.count.bytes.rawValue
    }
}
