import DmaLinux
import Glibc
import GuestMemory
import PinLock
import Synchronization

/// Devices that pin, and while they hold a pin read the state of its pages from the table itself, over and over; converters
/// beside them; and somebody who kills devices, one or two at a time, recovers them and starts them again.
///
/// It knows nothing of hooks or ledgers: what a device sees in the table is what the hardware would check.
struct TableStress<S: PinStrategy> {
    private let strategy: S
    private let memory: SharedMapping
    private let reports: SharedMapping
    private var holders: [Holder] = []
    private var deaths = 0
    private let conversions = Sum()
    private let denials = Sum()

    /// Few enough that everybody meets everybody.
    private static var pages: UInt64 { 48 }

    /// A device, and what answers it where the strategy has that.
    private final class Holder {
        let id: DeviceID
        let process: ChildProcess
        let near: FileDescriptor
        let service: JoinableThread?

        init(
            _ id: DeviceID, _ process: ChildProcess, _ near: consuming FileDescriptor,
            _ service: JoinableThread?
        ) {
            self.id = id
            self.process = process
            self.near = near
            self.service = service
        }
    }

    init(_: S.Type) throws {
        strategy = S(arena: try Arena.create(pages: PageCount(Self.pages), entrySize: .small))
        memory = try SharedMapping.create(
            name: "guest", byteCount: Int(Self.pages * pageSize))
        reports = try SharedMapping.create(
            name: "reports", byteCount: HolderReport.byteCount * Arena.deviceCapacity)
        _ = try strategy.convert(all, to: .shared, policy: .deny, hooks: .init())
    }

    private var all: PageRange { PageRange(start: 0, count: Self.pages) }

    /// A device for each processor but one, two at least. Returns the line of what it came to; nil where all is well.
    mutating func run(until deadline: Deadline) throws -> (line: String, isGood: Bool) {
        let count = min(max(2, try Processors.allowed().count - 1), Arena.deviceCapacity)
        for number in 0..<count { holders.append(try start(DeviceID(number))) }
        let isOver = Sum()
        let converters = try (0..<2).map { number in try converter(number, until: isOver) }
        var complaint: String?
        while complaint == nil, !deadline.hasPassed, violations == 0 {
            usleep(UInt32.random(in: 100...4000))
            complaint = try killSome()
        }
        isOver.add(1)
        for converter in converters { converter.join() }
        for holder in holders { end(holder) }
        if complaint == nil { complaint = try whatIsLeft() }
        let pins = report { $0.pins }
        let found = violations
        let figures = """
            \(deaths) deaths, \(pins) pins, \(conversions.value) conversions, \(denials.value) denied, \
            \(found) pages held that the table calls private
            """
        let name = S.info.name
        if let complaint { return ("\(name): \(complaint); \(figures)", false) }
        guard S.info.isSafe else {
            return ("\(name): \(figures): \(found > 0 ? "caught" : "not caught")", found > 0)
        }
        return ("\(name): \(figures)", found == 0 && pins > 0 && conversions.value > 0)
    }

    // MARK: Devices

    private func start(_ id: DeviceID) throws -> Holder {
        let (nearEnd, farEnd) = try FileDescriptor.packetPair()
        let near = FileDescriptor(owning: nearEnd)
        let far = FileDescriptor(owning: farEnd)
        let process = try ChildProcess(
            arguments: [
                "torture", "hold", S.info.name, "\(id.rawValue)", "\(getpid())",
            ],
            descriptors: [
                strategy.arena.mapping.fileDescriptor, memory.fileDescriptor,
                reports.fileDescriptor, far.raw,
            ])
        let strategy = strategy
        let service =
            S.info.isServed
            ? JoinableThread(
                try WorkerThread(name: "serve") {
                    try? strategy.serve(id, on: nearEnd) { _ in false }
                }) : nil
        return Holder(id, process, near, service)
    }

    private func end(_ holder: Holder) {
        holder.process.terminate()
        holder.near.hangUp()
        holder.service?.join()
    }

    /// One device, or two at once; nil where their pins could be taken back and they live again.
    private mutating func killSome() throws -> String? {
        let victims = holders.indices.shuffled().prefix(Int.random(in: 1...2))
        for index in victims {
            if let end = holders[index].process.poll() {
                return "\(holders[index].id) \(end) by itself"
            }
            holders[index].process.signal(SIGKILL)
        }
        for index in victims { end(holders[index]) }
        deaths += victims.count
        do throws(RecoveryRefusal) {
            try strategy.recover(victims.map { holders[$0].id }, eachWithin: 2000)
        } catch {
            return "a recovery was refused: \(error)"
        }
        for index in victims { holders[index] = try start(holders[index].id) }
        return nil
    }

    /// Once all devices are dead: pins that stay, or a table and a structure that disagree.
    private func whatIsLeft() throws -> String? {
        try strategy.recover(holders.map(\.id), eachWithin: 2000)
        if let complaint = try strategy.audit() { return complaint }
        return strategy.arena.livePins == 0 ? nil : "\(strategy.arena.livePins) pins are left"
    }

    // MARK: The guest

    /// Takes pages and gives them back, at random; waits for a pin now and then, where the strategy can.
    private func converter(_ number: Int, until isOver: Sum) throws -> JoinableThread {
        let (strategy, conversions, denials) = (strategy, conversions, denials)
        return JoinableThread(
            try WorkerThread(name: "converter") {
                while isOver.value == 0 {
                    let start = UInt64.random(in: 0..<Self.pages)
                    let range = PageRange(
                        start: start, count: .random(in: 1...min(4, Self.pages - start)))
                    let waits = S.info.policies.contains(.wait) && Bool.random()
                    let policy: ConflictPolicy =
                        waits ? .wait(until: .after(nanoseconds: 500_000)) : .deny
                    do {
                        _ = try strategy.convert(
                            range, to: .private, policy: policy, hooks: .init())
                        conversions.add(1)
                    } catch {
                        denials.add(1)
                        continue
                    }
                    for _ in 0..<Int.random(in: 0..<200) { sched_yield() }
                    // Nobody else can have it.
                    _ = try? strategy.convert(range, to: .shared, policy: .deny, hooks: .init())
                }
            })
    }

    // MARK: What they saw

    private var violations: UInt64 { report { $0.violations } }

    private func report(_ value: (HolderReport) -> UInt64) -> UInt64 {
        (0..<Arena.deviceCapacity).reduce(0) { $0 + value(HolderReport(reports, of: $1)) }
    }
}

/// What a device counts in memory that outlives it.
private struct HolderReport {
    static let byteCount = 64

    private let mapping: SharedMapping
    private let base: UnsafeMutableRawPointer

    init(_ mapping: SharedMapping, of device: Int) {
        self.mapping = mapping
        base = mapping.base + device * Self.byteCount
    }

    private func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + 8 * index).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    var pins: UInt64 { word(0).pointee.load(ordering: .relaxed) }
    var violations: UInt64 { word(1).pointee.load(ordering: .relaxed) }
    func notePin() { word(0).pointee.wrappingAdd(1, ordering: .relaxed) }
    func noteViolation() { word(1).pointee.wrappingAdd(1, ordering: .relaxed) }
}

/// Until it is killed: pins lists at random and reads the state of their pages while it holds them. Only the table is
/// asked. The exit status where it cannot.
func hold(_ name: String, _ number: Int, parent: Int32) -> Int32 {
    func run<S: PinStrategy>(_: S.Type) throws -> Int32 {
        guard try dieWithParent(expected: parent) else { return 1 }
        func mapping(_ descriptor: Int32, _ name: String) throws -> SharedMapping {
            try SharedMapping(mapping: .duplicate(descriptor), name: name)
        }
        let arena = try Arena(attaching: try mapping(3, "arena"))
        let memory = GuestView(try mapping(4, "guest"))
        let report = HolderReport(try mapping(5, "reports"), of: number)
        let strategy = S(arena: arena)
        let device = try strategy.pinner(
            for: DeviceID(number), in: DeviceSurroundings(memory: memory, hypervisor: 6))
        let pages = memory.pages.rawValue
        while true {
            let list = (0..<Int.random(in: 1...3)).map { _ in
                let start = UInt64.random(in: 0..<pages)
                return PageRange(start: start, count: .random(in: 1...min(6, pages - start)))
            }
            guard let pin = try? device.pin(list.span) else {
                sched_yield()
                continue
            }
            report.notePin()
            for _ in 0..<Int.random(in: 1...40) {
                for range in list {
                    for page in range.lower..<range.upper
                    where arena.table.state(of: GFN(page)) == .private { report.noteViolation() }
                }
                // Where there are fewer processors than threads, somebody else has to come to a step of its own.
                if Int.random(in: 0..<8) == 0 { sched_yield() }
            }
            device.unpin(pin)
        }
    }
    guard let strategy = Registry.strategy(named: name) else { return 64 }
    do { return try run(strategy) } catch {
        complain("device \(number): \(error)")
        return 1
    }
}

/// A sum that several threads add to.
private final class Sum: Sendable {
    private let sum = Atomic<UInt64>(0)
    var value: UInt64 { sum.load(ordering: .relaxed) }
    func add(_ count: UInt64) { sum.wrappingAdd(count, ordering: .relaxed) }
}
