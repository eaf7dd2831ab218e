import DmaLinux
import Glibc
import GuestMemory
import Testing

@testable import PinLock

/// What strategies say of themselves against what they do.
@Suite struct FactTests {
    /// Where the two differ.
    private func wrongFacts<Strategy: PinStrategy>(of _: Strategy.Type) throws -> Set<String> {
        let info = Strategy.info
        var wrong: Set<String> = []
        func compare(_ said: Bool, _ seen: Bool, _ fact: String) {
            if said != seen { wrong.insert(fact) }
        }
        let strategy = try make(Strategy.self, pages: 16, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))

        // What is not safe promises, and does not keep it.
        if info.isSafe {
            let pin = try device.pin(range(2..<5))
            let isHeld = strategy.refusalOfConversion(page(3), to: .private) != nil
            compare(info.promisesByPins, isHeld, "promisesByPins, of a page that is pinned")
            device.unpin(pin)
            let isRefused = refusalOfPin(page(9), by: device) != nil
            compare(info.promisesByPins, isRefused, "promisesByPins, of a page that is private")
            if !isHeld { try strategy.convert(page(3), to: .shared) }
        }

        try device.register([range(0..<8)])
        compare(info.pinsBuffers, strategy.arena.livePins > 0, "pinsBuffers")
        device.unregister()

        let metadata = Strategy.metadataByteCount(pages: PageCount(pagesPerGiB))
        let isDoubled = metadata >= Int(pagesPerGiB * pageSize)
        compare(info.hasPrivateFrames, isDoubled, "hasPrivateFrames")
        compare(info.isServed, try isHeard(strategy), "isServed")
        return wrong
    }

    /// Whether `serve` reads what a device sends: here a packet that is no strategy's, from a device that has gone.
    private func isHeard(_ strategy: some PinStrategy) throws -> Bool {
        let (near, far) = try FileDescriptor.packetPair()
        defer { close(near) }
        var packet: UInt8 = 1
        #expect(try PacketSocket.send(packet, to: far))
        close(far)
        try? strategy.serve(DeviceID(0), on: near) { _ in false }
        return try !PacketSocket.receive(&packet, from: near)
    }

    @Test(arguments: Candidate.available)
    func whatIsSaidIsSo(_ candidate: Candidate) throws {
        #expect(try wrongFacts(of: candidate.type) == [])
    }

    /// Who promises nothing is named here, so that nobody comes to be left out of what is tested of the others.
    @Test func whoPromisesNothing() {
        let names = Registry.all.filter { !$0.info.isSafe }.map { $0.info.name }
        #expect(Set(names) == ["none", "toctou", "srcu-v5"])
    }

    /// A range tree that says of itself whatever there is to say.
    private struct Boasts: StandsOnTree {
        static let info = StrategyInfo(
            name: "boasts", summary: "", isSafe: true, cost: "", policies: [.deny],
            kernelNeeds: nil, precedent: "", family: .tree, place: 0, pinsBuffers: true,
            needsPool: true, protectsPages: true, hasPrivateFrames: true, isServed: true)

        let tree: RangeTree

        init(arena: Arena) { tree = RangeTree(arena: arena) }

        func pinner(for device: DeviceID) -> RangeTree.Device { tree.pinner(for: device) }
    }

    @Test func whatIsNotSoIsCaught() throws {
        let expected: Set = [
            "promisesByPins, of a page that is pinned",
            "promisesByPins, of a page that is private", "pinsBuffers", "hasPrivateFrames",
            "isServed",
        ]
        #expect(try wrongFacts(of: Boasts.self) == expected)
    }

    /// The word in the rows follows from the facts.
    @Test func rowsSayWhatKeepsDevicesAway() {
        func word(pool: Bool = false, faults: Bool = false, frames: Bool = false) -> String {
            StrategyInfo(
                name: "any", summary: "", isSafe: true, cost: "", policies: [], kernelNeeds: nil,
                precedent: "", family: .tree, place: 0, needsPool: pool, protectsPages: faults,
                hasPrivateFrames: frames
            ).exclusion
        }
        #expect(word() == "pins" && word(pool: true) == "bounce")
        #expect(word(faults: true) == "faults" && word(frames: true) == "frames")
    }

    /// Pictures tell strategies apart by the two.
    @Test func noTwoHaveThePlaceOfOne() {
        let places = Registry.all.map { "\($0.info.family) \($0.info.place)" }
        #expect(Set(places).count == places.count, "\(places)")
        // There are six looks to a colour.
        #expect(Registry.all.allSatisfy { (0..<6).contains($0.info.place) })
    }
}
