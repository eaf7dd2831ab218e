import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization

@testable import PinLock

/// Devices and converters that meet on a few pages, each on a thread and on a view of the arena of its own.
struct Traffic {
    /// What the devices pin.
    var pins: [PageRange]
    /// What the converters make private, and shared again.
    var conversions: [PageRange]
    /// What the devices pin at set-up, in strategies that do.
    var registrations: [PageRange] = []
    var policy = ConflictPolicy.Kind.deny
    /// Pins that each device tries, conversions to private that each converter tries.
    var operations: Int
    var seed: UInt64 = 1
    /// The numbers of the two devices.
    var devices = 0...1

    struct Outcome: Sendable {
        var pinned = 0
        var converted = 0
        var violations = 0
    }

    /// Two devices and two converters, to the end. Everything that is ever converted must be shared now.
    func run<Strategy: PinStrategy>(on strategy: Strategy) throws -> Outcome {
        // The ends tell of the whole: conversions are all or nothing.
        let oracle = Oracle(watching: Set(conversions.flatMap { [$0.lower, $0.upper - 1] }))
        let pinned = Counter()
        let converted = Counter()
        var bodies: [@Sendable () -> Void] = []
        for (thread, number) in devices.enumerated() {
            let device = Strategy(arena: try strategy.arena.viewedAgain())
            let converter = Strategy(arena: try strategy.arena.viewedAgain())
            bodies.append {
                pinned.add(pin(device.pinner(for: DeviceID(number)), oracle, thread))
            }
            bodies.append { converted.add(convert(converter, oracle, thread)) }
        }
        try inParallel(bodies)
        if let page = oracle.firstDisagreement(with: strategy.arena.table) {
            throw Disagreement(description: "the table and the oracle disagree on \(page)")
        }
        return Outcome(
            pinned: pinned.value, converted: converted.value,
            violations: oracle.violations.load(ordering: .relaxed))
    }

    /// A device: pins, writes, unpins; sometimes two ranges at once, as a scatter-gather list has.
    private func pin(_ pinner: some Pinner, _ oracle: Oracle, _ thread: Int) -> Int {
        var random = SplitMix64(seed: seed &* 4 &+ UInt64(thread))
        var pinned = 0
        var isRegistered = false
        for _ in 0..<operations {
            if !isRegistered { isRegistered = (try? pinner.register(registrations)) != nil }
            pinner.serviceRevocations()
            var held: [Pin] = []
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                guard let pin = try? pinner.pin(pins.randomElement(using: &random)!) else { break }
                oracle.beginWrite(pin.range)
                held.append(pin)
            }
            var backoff = Backoff()
            for _ in 0..<Int.random(in: 0...70, using: &random) { backoff.pause() }
            for pin in held {
                oracle.endWrite(pin.range)
                pinner.unpin(pin)
            }
            pinned += held.count
        }
        pinner.unregister()
        return pinned
    }

    private func convert(_ strategy: some PinStrategy, _ oracle: Oracle, _ thread: Int) -> Int {
        var random = SplitMix64(seed: seed &* 4 &+ 2 &+ UInt64(thread))
        var converted = 0
        for _ in 0..<operations {
            let range = conversions.randomElement(using: &random)!
            let deadline: Deadline =
                Bool.random(using: &random) ? .never : .after(nanoseconds: 20_000)
            let refusal = strategy.refusalOfConversion(
                range, to: .private, policy: ConflictPolicy(policy, until: deadline),
                hooks: oracle.hooks)
            guard refusal == nil else { continue }
            converted += 1
            // Another converter may have been faster with some of it.
            for gfn in range.lower..<range.upper {
                _ = strategy.refusalOfConversion(page(gfn), to: .shared, hooks: oracle.hooks)
            }
        }
        return converted
    }
}

extension ConflictPolicy {
    init(_ kind: Kind, until deadline: Deadline) {
        switch kind {
        case .deny: self = .deny
        case .wait: self = .wait(until: deadline)
        case .revoke: self = .revoke(until: deadline)
        }
    }
}
