import CTorture
import DmaLinux
import DmaStatistics
import GuestMemory
import PinLock

/// Something is not as it must be after a death: what, and after which.
struct Complaint: Error, CustomStringConvertible {
    let description: String
}

/// Kills devices of one strategy in one scenario, one after the other, at chosen instructions; all in one arena, so
/// that what one leaves the next ones find.
///
/// After each death its pins are recovered, and then the guest must be able to convert everything that no living
/// device holds, and nothing else.
struct Campaign<S: PinStrategy> {
    private let scenario: Scenario
    private let strategy: S
    private let memory: SharedMapping
    private var guest: Guest<S>
    private(set) var figures = Figures()
    private var random: SplitMix64
    private var places: [Place] = []
    private var next = 0
    /// When the recovery of the last dead device began.
    private var recoveryStart: UInt64 = 0

    private static var dead: DeviceID { DeviceID(0) }
    private static var stopped: DeviceID { DeviceID(2) }

    /// Where a device is killed: in which stage, after how many of its instructions.
    private struct Place: CustomStringConvertible {
        let stage: Int
        let step: UInt64
        let name: String

        var description: String { "\(name), after \(step) instructions" }
    }

    /// With `surveys`, every instruction of a device's life is looked at first.
    init(_: S.Type, _ scenario: Scenario, seed: UInt64, surveys: Bool) throws {
        self.scenario = scenario
        strategy = S(
            arena: try Arena.create(
                pages: PageCount(scenario.pages), entrySize: scenario.entrySize))
        memory = try SharedMapping.create(
            name: "guest", byteCount: Int(scenario.pages * pageSize))
        guest = try Guest(strategy, scenario, living: DeviceID(1))
        random = SplitMix64(seed: seed)
        if surveys { places = try survey() }
    }

    /// Kills `count` devices more, every eighth one beside a device that stands still.
    mutating func run(_ count: Int) throws {
        for _ in 0..<count {
            let place = nextPlace()
            if figures.kills % 8 == 7 {
                let still = randomPlace()
                let what = "\(place), while \(Self.stopped) stands still in: \(still)"
                try inWords(what) { try $0.kill(at: place, whileStoppedAt: still) }
            } else {
                try inWords("\(place)") { try $0.kill(at: place) }
            }
        }
        figures.conversions = guest.conversions
    }

    /// First the places where something has just changed for others, then the other ones, then all again.
    private mutating func nextPlace() -> Place {
        guard !places.isEmpty else { return randomPlace() }
        if next < figures.visible { figures.visibleTried += 1 }
        next += 1
        return places[(next - 1) % places.count]
    }

    /// Short ways into a stage are as likely as long ones, to each power of two.
    private mutating func randomPlace() -> Place {
        if let place = places.randomElement(using: &random) { return place }
        let stage = Int.random(in: 0..<scenario.stages.count, using: &random)
        let most = UInt64(1) << UInt64.random(in: 0...14, using: &random)
        return Place(
            stage: stage, step: UInt64.random(in: 0..<most, using: &random),
            name: scenario.stages[stage])
    }

    /// Nobody is in the way of devices that live, and nothing is left.
    mutating func finish() throws {
        try inWords("a whole life at the end") { campaign in
            let device = try campaign.start(Self.dead)
            var stop: TracedDevice.Stop
            repeat { stop = device.runToMark() } while stop == .mark
            guard stop == .exited(0) else { throw Complaint(description: "\(stop)") }
            device.kill()
            let left = try campaign.strategy.recover(Self.dead, until: .now)
            if left > 0 { throw Complaint(description: "\(left) pins are left") }
            _ = try campaign.guest.check()
        }
    }

    /// A device that stands still with its pins keeps a conversion waiting, but not past its deadline.
    mutating func stop() throws {
        guard let range = scenario.waited, S.info.isSafe, S.info.promisesByPins else { return }
        try inWords("a conversion waits for a stopped device") { campaign in
            let device = try campaign.start(Self.dead)
            let place = Place(stage: campaign.scenario.firstUnpin, step: 0, name: "all pins")
            try campaign.lead(device, to: place)
            var refusal: ConversionRefusal?
            do throws(ConversionRefusal) {
                _ = try campaign.strategy.convert(
                    range, to: .private, policy: .wait(until: .after(milliseconds: 20)),
                    hooks: ConversionHooks())
            } catch {
                refusal = error
            }
            guard case .deadlinePassed = refusal else {
                throw Complaint(description: "it ended so: \(String(describing: refusal))")
            }
            device.kill()
            try campaign.recover(Self.dead)
            _ = try campaign.guest.check()
        }
    }

    /// Names what is under way: for whoever hangs over it, and for the complaint.
    private mutating func inWords(_ what: String, _ body: (inout Self) throws -> Void) throws {
        let name = "\(S.info.name), \(scenario.name): \(what)"
        ctorture_watch(name, 60)
        do {
            try body(&self)
        } catch {
            throw Complaint(description: "\(name): \(error)")
        }
    }

    private func start(_ id: DeviceID) throws -> TracedDevice {
        try TracedDevice(id, of: strategy, memory: memory, scenario)
    }

    /// Two lives of a device tell where it can be killed.
    private mutating func survey() throws -> [Place] {
        var stages: [Survey.Stage] = []
        try inWords("a whole life") { campaign in
            let count = campaign.scenario.stages.count
            var device = try campaign.start(Self.dead)
            let pages = try Survey.pages(of: campaign.strategy.arena.mapping) { atMark in
                for _ in 0..<count {
                    let stop = device.runToMark()
                    guard stop == .mark else { throw Complaint(description: "\(stop)") }
                    try atMark()
                }
            }
            device.kill()
            device = try campaign.start(Self.dead)
            stages = try Survey(of: device, stages: count, looking: pages).stages
            device.kill()
            let left = try campaign.strategy.recover(Self.dead, until: .now)
            if left > 0 { throw Complaint(description: "\(left) pins are left") }
        }
        return order(stages)
    }

    private mutating func order(_ stages: [Survey.Stage]) -> [Place] {
        var visible: [Place] = []
        var others: [Place] = []
        for (number, stage) in stages.enumerated() {
            let seen = Set(stage.visible)
            for step in 0..<stage.length {
                let place = Place(stage: number, step: step, name: scenario.stages[number])
                if seen.contains(step) { visible.append(place) } else { others.append(place) }
            }
        }
        figures.visible = visible.count
        figures.instructions = visible.count + others.count
        return visible.shuffled(using: &random) + others.shuffled(using: &random)
    }

    /// Takes a device to a place.
    private func lead(_ device: TracedDevice, to place: Place, patience: UInt32 = 0) throws {
        for _ in 0..<place.stage {
            let stop = device.runToMark(patience: patience)
            // Who stands still may hold what it needs: then this is its place.
            if stop == .blocked, patience > 0 { return }
            guard stop == .mark else { throw Complaint(description: "on the way: \(stop)") }
        }
        let (stop, steps) = device.step(place.step, patience: patience)
        switch stop {
        case .stepped, .mark: return
        case .blocked where patience > 0: return
        default: throw Complaint(description: "after \(steps) instructions: \(stop)")
        }
    }

    // MARK: One death

    private mutating func kill(at place: Place) throws {
        let before = strategy.arena.livePins
        let device = try start(Self.dead)
        // Half of the deaths under a pin are waited for by a conversion.
        let isWaitedFor = place.stage >= scenario.firstUnpin && S.info.promisesByPins
        if isWaitedFor, let range = scenario.waited, Bool.random(using: &random) {
            for _ in 0..<place.stage { _ = device.runToMark() }
            let conversion = try WaitingConversion(of: range, strategy)
            _ = device.step(place.step)
            device.kill()
            try recover(Self.dead)
            try conversion.finish()
            try strategy.convert(range, to: .shared)
        } else {
            try lead(device, to: place)
            device.kill()
            try recover(Self.dead)
        }
        try concludeDeath(livePins: before)
    }

    /// Whoever stands still is alive: the recovery waits for it, and says so, or need not. Then it goes on, or dies.
    private mutating func kill(at place: Place, whileStoppedAt still: Place) throws {
        let before = strategy.arena.livePins
        let other = try start(Self.stopped)
        try lead(other, to: still)
        let device = try start(Self.dead)
        // The one that stands still may hold what this one needs: then it dies waiting for it.
        try lead(device, to: place, patience: 30)
        device.kill()
        var isRecovered = false
        do throws(RecoveryRefusal) {
            _ = try strategy.recover(Self.dead, until: .after(milliseconds: 5))
            isRecovered = true
        } catch {
            guard error == .stillMoving(Self.stopped) else { throw error }
            figures.postponed += 1
        }
        if Bool.random(using: &random) {
            other.kill()
            try recover(Self.stopped)
        } else {
            var stop: TracedDevice.Stop
            repeat { stop = other.runToMark() } while stop == .mark
            guard stop == .exited(0) else {
                throw Complaint(description: "\(Self.stopped) went on, and \(stop)")
            }
            other.kill()
            let left = try strategy.recover(Self.stopped, until: .now)
            if left > 0 { throw Complaint(description: "\(left) pins of \(Self.stopped) are left") }
        }
        if !isRecovered { try recover(Self.dead) }
        figures.halts += 1
        try concludeDeath(livePins: before, isHalted: true)
    }

    /// A device that has died before another one, which still stands, has its pins back with the second call.
    private mutating func recover(_ device: DeviceID) throws {
        recoveryStart = monotonicNanoseconds()
        let most = 1 + scenario.pins.count + scenario.registered.count
        let count = try strategy.recover(device, until: .after(milliseconds: 10_000))
        guard 0...most ~= count else {
            throw Complaint(description: "\(count) pins were recovered, there were \(most) at most")
        }
    }

    private mutating func concludeDeath(livePins: Int, isHalted: Bool = false) throws {
        let first = try guest.check()
        // Beside one that stands still it takes as long as that does.
        if !isHalted {
            let wait = first - recoveryStart
            figures.firstConversionNanoseconds = max(figures.firstConversionNanoseconds, wait)
            figures.late += wait > 1_000_000_000 ? 1 : 0
        }
        guard strategy.arena.livePins == livePins else {
            throw Complaint(
                description: "\(strategy.arena.livePins) pins are live, \(livePins) were before")
        }
        figures.kills += 1
    }
}
