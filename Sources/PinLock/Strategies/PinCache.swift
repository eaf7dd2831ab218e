import GuestMemory
import Linux

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
        /// Registrations that are kept between requests at most: far fewer than the journal has room for.
        static let mostRegistrations = 1024

        public var counters: CacheCounters { count }

        /// Pages that are kept between requests at most; no limit at first, as in UCX (UCX_RCACHE_MAX_SIZE).
        public var limit: PageCount {
            get { mostPages }
            set { mostPages = newValue }
        }

        // What a hit touches is private: the compiler leaves the checks for exclusive access out.
        private var count = CacheCounters()
        private var mostPages: PageCount
        /// Moves with every use.
        private var time: UInt64 = 0
        /// The last use before the first of the tokens that are out, under a cap on what the device holds.
        private var lastIdle: UInt64 = 0
        private let tree: CountedPins<ForestCover>
        private let registrations: Registrations
        private var announced: [PageRange] = []

        init(_ tree: CountedPins<ForestCover>, device: DeviceID) {
            self.tree = tree
            mostPages = tree.pages
            registrations = Registrations(tree, device: device)
        }

        /// Announces the guest's buffers: pins inside them may be kept. Nothing is pinned yet.
        public func register(_ ranges: [PageRange]) { announced += ranges }

        public func unregister() {
            registrations.removeAll()
            announced = []
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            serviceRevocations()
            var areKept = true
            for index in ranges.indices where !hit(ranges[index]) {
                count.misses &+= 1
                areKept = keep(ranges[index]) && areKept
            }
            return areKept ? registrations.token(for: ranges[0]) : try tree.pin(ranges)
        }

        @inline(__always)
        private func hit(_ range: PageRange) -> Bool {
            guard let index = registrations.index(containing: range) else { return false }
            count.hits &+= 1
            use(index)
            return true
        }

        public func unpin(_ pin: Pin) {
            guard registrations.giveBack(pin) else { return tree.unpin(pin) }
            serviceRevocations()
            if isOverfull, !registrations.isInUse { evict(while: { isOverfull }) }
        }

        public func serviceRevocations() {
            guard registrations.isAskedFor else { return }
            registrations.letGoOfWhatIsClosed()
            for index in registrations.all.indices.reversed()
            where !registrations.isPinned(index) {
                registrations.remove(index)
                count.invalidations &+= 1
            }
        }

        // Of the limit on what a device holds.
        var keptPages: UInt64 { registrations.pages }
        func pagesToRegister(_ ranges: [PageRange]) -> UInt64 { 0 }
        func keeps(_ range: PageRange) -> Bool { registrations.contain(range) }
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
            guard range.count <= mostPages, announced.contains(where: { $0.contains(range) }) else {
                return false
            }
            do throws(PinRefusal) {
                count.merges &+= UInt64(try registrations.merge(range))
            } catch {
                return false
            }
            if let index = registrations.index(containing: range) {
                use(index)
            }
            return true
        }

        @inline(__always)
        private func use(_ index: Int) {
            time &+= 1
            registrations.touch(index, at: time)
        }

        private var isOverfull: Bool {
            registrations.pages > mostPages.rawValue
                || registrations.all.count > Self.mostRegistrations
        }

        /// Lets the least recently used go, none that was used after `latest`.
        @inline(never)
        private func evict(usedBy latest: UInt64 = .max, while isTooMuch: () -> Bool) {
            while isTooMuch(),
                let oldest = registrations.all.indices.min(by: {
                    registrations.all[$0].lastUse < registrations.all[$1].lastUse
                }), registrations.all[oldest].lastUse <= latest
            {
                registrations.remove(oldest)
                count.evictions &+= 1
            }
        }
    }
}
