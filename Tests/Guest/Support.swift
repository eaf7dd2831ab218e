import DmaLinux
import Guest
import GuestMemory
import Synchronization
import Telemetry
import Testing
import Virtqueue

/// A guest of small buffers and the free memory that every guest has.
func smallMap(
    devices: Int = 2, pagesPerRange: UInt64 = 4, ranges: Int = 4, misalignment: UInt64 = 0,
    pool: UInt64? = nil, requests: Int = 1
) throws -> MemoryMap {
    try MemoryMap(
        devices: devices, requests: requests, pagesPerRange: PageCount(pagesPerRange),
        rangeCount: ranges,
        misalignment: PageCount(misalignment), pool: pool.map { PageCount($0) }, total: nil)
}

/// Sparse memory for the guest.
func memory(of map: MemoryMap) throws -> GuestView {
    GuestView(
        try SharedMapping.create(name: "guest-test", byteCount: Int(map.pages.bytes.rawValue)))
}

let testClock = TickClock.calibrated()

extension TurnControl {
    /// For so many requests, measured from the start where devices settle at once.
    convenience init(
        operations: UInt64 = .max, isExact: Bool = false, shortest: UInt64 = 0,
        longest: UInt64 = .max, warmUp: UInt64 = .max, devices: Int = 1
    ) {
        self.init(
            TurnControl.Limits(
                operations: operations, isExact: isExact, shortest: shortest, longest: longest,
                warmUp: warmUp), devices: devices)
    }
}

/// What a driver and a device that exists in a test alone tell each other.
final class TestSignals: Sendable {
    let isSettled: Atomic<Bool>
    let measuresFrom = Atomic<UInt64>(.max)
    let kicks = Atomic(0)
    let failure = Atomic(RequestOutcome.privatePage.rawValue)
    private let kick: (@Sendable () -> Void)?

    init(isSettled: Bool = true, kick: (@Sendable () -> Void)? = nil) {
        self.isSettled = Atomic(isSettled)
        self.kick = kick
    }

    var signals: Driver.DeviceSignals {
        Driver.DeviceSignals(
            kick: kick, isSettled: { self.isSettled.load(ordering: .acquiring) },
            measure: { self.measuresFrom.store($0, ordering: .releasing) },
            failure: { RequestOutcome(rawValue: self.failure.load(ordering: .acquiring))! })
    }
}

/// For requests whose records are registered.
struct NoReader: GuestReader {
    mutating func copy(
        _ source: UnsafeRawBufferPointer, in pages: PageRange, to target: UnsafeMutableRawPointer
    ) -> Bool { false }
}

/// The device's side of a driver's queue.
final class QueueEnd {
    var queue: DeviceQueue
    var request: DeviceRequest
    private let view: GuestView
    private var reader = NoReader()

    init(_ map: MemoryMap, _ index: Int, in view: GuestView) {
        let (layout, start) = (map.queueLayout, map.queueStarts[index])
        queue = try! DeviceQueue(
            layout.rings(at: start), registered: [layout.area(at: start)], in: view)
        request = DeviceRequest(queueSize: layout.queueSize)
        self.view = view
    }

    func next() -> NextRequest { queue.next(into: &request, from: view, reading: &reader) }

    func complete(_ status: RequestStatus) {
        let isWritten = status == .ok && request.type == .in
        let bytes = isWritten ? request.byteCount.rawValue : 0
        queue.complete(&request, with: status, bytesWritten: bytes)
    }
}

/// A program that exists for its vCPU: it does what a test says.
final class ScriptedProgram: GuestProgram {
    private let script: (Moment) -> ProgramStep
    private(set) var steps = 0

    init(_ script: @escaping (Moment) -> ProgramStep) { self.script = script }

    func step(_ moment: Moment) -> ProgramStep {
        steps += 1
        return script(moment)
    }
}

/// A hypervisor that keeps books of every page, refuses what makes no sense, denies by a rule of the test, and lets its
/// caller look so often before it answers.
final class RecordingHypervisor: Hypercalls {
    struct Call: Equatable, Sendable {
        let range: PageRange
        let toPrivate: Bool
        let due: UInt64
        let answer: PageStateChange
    }

    private(set) var shared: Set<UInt64>
    private(set) var calls: [Call] = []
    private(set) var abandoned = 0
    private let denies: (_ number: Int, _ range: PageRange, _ toPrivate: Bool) -> Bool
    private let looks: Int
    private var pending: (range: PageRange, toPrivate: Bool, due: UInt64, looks: Int)?

    /// A guest that has shared `shared`; `denies` is asked of the calls, counted from 0.
    init(
        shared: [PageRange] = [], looks: Int = 0,
        denies: @escaping (Int, PageRange, Bool) -> Bool = { _, _, _ in false }
    ) {
        self.denies = denies
        self.looks = looks
        self.shared = Self.pages(of: shared)
    }

    static func pages(of ranges: [PageRange]) -> Set<UInt64> {
        Set(ranges.flatMap { $0.lower..<$0.upper })
    }

    func begin(
        _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
    ) -> PageStateChange? {
        precondition(pending == nil, "one page state change at a time")
        precondition(due <= moment.now, "asked before it was due")
        guard looks > 0 else { return changePageState(range, toPrivate: toPrivate, due: due) }
        pending = (range, toPrivate, due, looks)
        return nil
    }

    func poll(at moment: Moment) -> PageStateChange? {
        pending!.looks -= 1
        guard pending!.looks == 0, let asked = pending.take() else { return nil }
        return changePageState(asked.range, toPrivate: asked.toPrivate, due: asked.due)
    }

    func abandon() {
        precondition(pending != nil, "nothing is under way")
        pending = nil
        abandoned += 1
    }

    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        let answer = answer(range, toPrivate)
        if answer == .done {
            let pages = range.lower..<range.upper
            if toPrivate { shared.subtract(pages) } else { shared.formUnion(pages) }
        }
        calls.append(Call(range: range, toPrivate: toPrivate, due: due, answer: answer))
        return answer
    }

    private func answer(_ range: PageRange, _ toPrivate: Bool) -> PageStateChange {
        for page in range.lower..<range.upper where shared.contains(page) != toPrivate {
            return .refused(GFN(page))
        }
        if denies(calls.count, range, toPrivate) { return .pinned(range.start) }
        return .done
    }
}
