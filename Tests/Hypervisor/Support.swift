import DmaLinux
import DmaWriter
import Guest
import GuestMemory
import Oracle
import PinLock
import Synchronization
import Telemetry

@testable import Hypervisor

/// A guest's memory and what its hypervisor keeps of it, without vCPUs or devices.
struct Host {
    static let pages = PageCount(64)
    static let clock = TickClock.calibrated()

    let view: GuestView
    let ledger: ConversionLedger
    let oracle: PrivatePageOracle
    /// Whether the guest frees the pages that it takes from the devices.
    let frees: Bool

    init(isAwake: Bool = true, frees: Bool = false) throws {
        self.frees = frees
        view = GuestView(
            try SharedMapping.create(
                name: "hypervisor-test", byteCount: Int(Self.pages.bytes.rawValue)))
        ledger = ConversionLedger(
            try SharedMapping.create(
                name: "ledger-test", byteCount: ConversionLedger.byteCount(pages: Self.pages)),
            pages: Self.pages)
        oracle = PrivatePageOracle(view: view, ledger: ledger, isAwake: isAwake, frees: frees)
    }

    /// What happens to its pages besides the lock: what a turn has, and others behind.
    func effects(_ others: any PageStateEffect..., mmu: DeviceMMU? = nil) -> PageStateEffects {
        let ours: [(any PageStateEffect)?] = [
            mmu, PrivateMemory(shared: view, frames: view, frees: frees), oracle,
        ]
        return PageStateEffects(ours.compactMap(\.self) + others)
    }

    /// A handler whose guest is wholly private, as it boots.
    func handler(
        _ type: any PinStrategy.Type = RangeTree.self, policy: ConflictPolicy.Kind = .deny,
        patience: UInt64 = 0, effects: PageStateEffects? = nil, wakes: Counter = Counter()
    ) throws -> (PSCHandler, any PinStrategy) {
        let strategy = type.init(arena: try Arena.create(pages: Self.pages, entrySize: .small))
        let handler = PSCHandler(
            PSCHost(
                strategy: strategy, policy: policy, timeout: patience,
                effects: effects ?? self.effects(), takenBack: TakenBackPages(),
                clock: Self.clock, wakeDevices: { wakes.add() }))
        return (handler, strategy)
    }

    /// What a device leaves in a line of the page that it should not have written.
    func write(_ stamp: Stamp, to page: PageRange, line: Int = 0) {
        view.pointer(to: page).storeBytes(
            of: stamp.rawValue, toByteOffset: line * 64, as: UInt64.self)
    }

    func hasCanary(_ page: PageRange) -> Bool {
        Canary.damage(view.pointer(to: page), gfn: page.start) == nil
    }

    /// Whether the ledger has a conversion of the page since `mark`.
    func isNumbered(_ page: PageRange, since mark: ConversionLedger.Mark) -> Bool {
        ledger.pagesConverted(in: page, since: mark) != nil
    }
}

extension PSCHandler {
    func ask(_ range: PageRange, toPrivate: Bool) -> PageStateChange {
        changePageState(range, toPrivate: toPrivate, due: Host.clock.now())
    }

    /// Asks as a vCPU does that goes on meanwhile.
    func begin(_ range: PageRange, toPrivate: Bool) -> PageStateChange? {
        let now = Host.clock.now()
        return begin(range, toPrivate: toPrivate, due: now, at: Moment(now: now))
    }

    func poll() -> PageStateChange? { poll(at: Moment(now: Host.clock.now())) }
}

final class Counter: Sendable {
    private let sum = Atomic(0)
    var value: Int { sum.load(ordering: .acquiring) }

    @Sendable func add() { sum.add(1, ordering: .acquiringAndReleasing) }
}

func range(_ pages: Range<UInt64>) -> PageRange {
    PageRange(start: pages.lowerBound, count: UInt64(pages.count))
}

func page(_ number: UInt64) -> PageRange { PageRange(start: number, count: 1) }
