import DmaLinux
import GuestMemory

/// Pin on first use and keep the pin: a cache of registrations.
///
/// The idea: an unpin of a buffer that the guest has announced is only noted, and its pin kept, so that the next DMA in
/// it is a hit, which touches nothing shared. A miss pins through the range tree; where it overlaps registrations,
/// one of their union takes their place. Above a limit the least recently used go. A range that was never announced
/// is pinned for the one DMA, as `rangetree` does.
///
/// Why no page is both pinned and private: a registration is a pin of the tree like any other, and a DMA has a token
/// only while its range is registered. While a token is out nothing is let go of what a conversion asks for (`revoke`)
/// or is above the limit; to a cap on pinned memory, what was last used before the first such token: none is in it. A
/// union is pinned before its parts are let go.
///
/// Cost: nothing per hit, a pin of the tree per miss. The guest cannot convert what it once had written, until
/// the device lets go: a conversion is denied, or asks (revoked), and the next DMA there is a miss.
///
/// Its precedents: UCX's registration cache (src/ucs/memory/rcache.c) and libfabric's (prov/util/src/util_mr_cache.c), whose
/// memory hooks are the revocation here.
public struct PinCache: StandsOnTree {
    public static let info = StrategyInfo(
        name: "pincache",
        summary: "pin on first use through the range tree, keep the pin until a conversion asks",
        isSafe: true,
        cost: "the device: a pin per miss; the guest: what was used cannot be converted, or waits",
        policies: [.deny, .wait, .revoke],
        kernelNeeds: nil,
        precedent:
            "UCX's rcache (src/ucs/memory/rcache.c), libfabric's mr_cache (prov/util/src/util_mr_cache.c)",
        family: .keepers, place: 1)

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> Device {
        Device(CountedPins(tree.cover, arena: arena, device: device), device: device)
    }

    public final class Device: CachingPinner, RegisteringPinner {
        /// Registrations that are kept between requests at most: fewer than the journal has room for.
        static let mostRegistrations = 16_384

        public var counters: CacheCounters { count }

        /// Pages that are kept between requests at most; no limit at first, as in UCX (UCX_RCACHE_MAX_SIZE).
        public var limit: PageCount {
            get { mostPages }
            set { mostPages = newValue }
        }

        // What a hit touches is private: the compiler leaves the checks for exclusive access out.
        private var count = CacheCounters()
        private var mostPages: PageCount
        /// Moves with every pin.
        private var time: UInt64 = 0
        /// The last use before the first of the tokens that are out, under a cap on what the device holds.
        private var lastIdle: UInt64 = 0
        private let tree: CountedPins<ForestCover>
        private let registrations: Registrations
        /// In order; none touches another.
        private var announced: [PageRange] = []

        init(_ tree: CountedPins<ForestCover>, device: DeviceID) {
            self.tree = tree
            mostPages = tree.pages
            registrations = Registrations(tree, device: device)
        }

        /// Announces the guest's buffers: pins inside them may be kept. Nothing is pinned yet.
        public func register(_ ranges: [PageRange]) {
            var merged: [PageRange] = []
            for range in (announced + ranges).sorted(by: { $0.start < $1.start }) {
                if let last = merged.last, range.lower <= last.upper {
                    let upper = max(last.upper, range.upper)
                    merged[merged.count - 1] = PageRange(
                        start: last.lower, count: upper - last.lower)
                } else {
                    merged.append(range)
                }
            }
            announced = merged
        }

        public func unregister() {
            registrations.removeAll()
            announced = []
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            serviceRevocations()
            time &+= 1
            var areKept = true
            var misses = 0
            var next = hits(ranges, from: 0)
            while next < ranges.count {
                misses &+= 1
                areKept = keep(ranges[next]) && areKept
                next = hits(ranges, from: next &+ 1)
            }
            count.hits &+= UInt64(ranges.count &- misses)
            count.misses &+= UInt64(misses)
            return areKept ? registrations.token(for: ranges[0]) : try tree.pin(ranges)
        }

        /// The place of the first miss from `start` on.
        @inline(__always)
        private func hits(_ ranges: Span<PageRange>, from start: Int) -> Int {
            let (lastUses, time) = (registrations.lastUses, time)
            return registrations.firstMiss(in: ranges, from: start) { lastUses[$0] = time }
        }

        public func pinToKeep(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            serviceRevocations()
            return try tree.pin(ranges)
        }

        public func unpin(_ pin: Pin) {
            guard registrations.giveBack(pin) else { return tree.unpin(pin) }
            serviceRevocations()
            if isOverfull, !registrations.isInUse { evict(while: { isOverfull }) }
        }

        @inline(__always)
        public func serviceRevocations() {
            if registrations.isAskedFor { invalidate() }
        }

        @inline(never)
        private func invalidate() {
            registrations.letGoOfWhatIsClosed()
            for index in registrations.numbers where !registrations.isPinned(index) {
                registrations.remove(index)
                count.invalidations &+= 1
            }
        }

        // Of the limit on what a device holds.
        var keptPages: UInt64 { registrations.pages }
        func pagesToRegister(_ ranges: [PageRange]) -> UInt64 { 0 }
        func keeps(_ range: PageRange) -> Bool { registrations.index(containing: range) != nil }
        static let keepsItsPlace = false
        func noteIdle() { lastIdle = time }
        func keepAtMost(_ pages: UInt64) {
            evict(
                usedBy: registrations.isInUse ? lastIdle : .max,
                while: { registrations.pages > pages })
        }

        /// Registers a range that may be kept. Where it cannot, the range of this DMA alone may still be free.
        @inline(never)
        private func keep(_ range: PageRange) -> Bool {
            guard range.count <= mostPages, isAnnounced(range) else { return false }
            do throws(PinRefusal) {
                count.merges &+= UInt64(try registrations.merge(range))
            } catch {
                return false
            }
            if let index = registrations.index(containing: range) {
                registrations.lastUses[index] = time
            }
            return true
        }

        private func isAnnounced(_ range: PageRange) -> Bool {
            var (low, high) = (0, announced.count)
            while low < high {
                let middle = (low + high) / 2
                if announced[middle].lower <= range.lower {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            return low > 0 && announced[low - 1].contains(range)
        }

        private var isOverfull: Bool {
            registrations.pages > mostPages.rawValue
                || registrations.count > Self.mostRegistrations
        }

        /// Lets the least recently used go, none that was used after `latest`.
        @inline(never)
        private func evict(usedBy latest: UInt64 = .max, while isTooMuch: () -> Bool) {
            while isTooMuch(), let oldest = registrations.oldest(), oldest.lastUse <= latest {
                registrations.remove(oldest.index)
                count.evictions &+= 1
            }
        }
    }
}
