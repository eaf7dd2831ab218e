import DmaLinux
import DmaStatistics
import DmaWriter
import GuestMemory
import Oracle
import PinLock
import Synchronization

@testable import VirtualDevice

/// A guest that owns all of its memory: it changes its queue under the device's eyes and asks for conversions of any
/// range at any time. What it does follows from the seed; when, from the two threads.
///
/// The bench's device may do as it likes with pages that are shared; a private one carries a canary.
final class HostileGuest {
    private let bench: Bench
    private var random: SplitMix64
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let halves: UnsafeMutablePointer<Atomic<UInt16>>
    /// What the guest has been told.
    private(set) var isShared: [Bool]

    /// Conversions carried out, and refused because of a pin.
    private(set) var conversions = (done: 0, pinned: 0)
    /// Requests served whole, and ended by a private page.
    private(set) var requests = (served: 0, refused: 0)
    /// Private pages that were written to, and pages that were converted under a write.
    private(set) var violations = 0

    init(_ bench: Bench, seed: UInt64) {
        self.bench = bench
        random = SplitMix64(seed: seed)
        let base = bench.view.pointer(to: bench.queueArea)
        words = base.assumingMemoryBound(to: Atomic<UInt64>.self)
        halves = base.assumingMemoryBound(to: Atomic<UInt16>.self)
        isShared = (0..<Bench.pages).map { bench.queueArea.contains(GFN($0)) }
        for page in 0..<Bench.pages where !isShared[Int(page)] { stamp(page) }
    }

    /// Something hostile.
    func move() {
        switch random.next() % 16 {
        case 0..<5: request()
        case 5..<7: store(UInt64.random(in: 0..<66, using: &random) * pageSize, at: 2)
        case 7: store(anything(), at: Int(random.next() % 64))
        case 8: store(anything(), at: Int(random.next() % 1024))
        case 9: halves[availableIndex].store(UInt16(random.next() % 4), ordering: .releasing)
        default: convert()
        }
        collect()
    }

    // MARK: The queue

    private var availableIndex: Int { bench.layout.availableRingOffset / 2 + 1 }
    private var usedIndex: Int { bench.layout.usedRingOffset / 2 + 1 }

    private func store(_ word: UInt64, at index: Int) {
        words[index].store(word, ordering: .relaxed)
    }

    /// Values on which checks turn.
    private func anything() -> UInt64 {
        let number = random.next()
        switch number % 4 {
        case 0: return number
        case 1: return UInt64.max - (number >> 8) % 32
        case 2: return (number >> 8) % 8
        default: return (number >> 8) % 66 * pageSize | (number >> 60) << 32
        }
    }

    /// A chain as a driver would write it: descriptor, address and rest (VIRTIO 1.2, 2.7.5); the data is anywhere.
    private func request() {
        let (write, next): (UInt64, UInt64) = (2 << 32, 1 << 32)
        let records = bench.queueArea.start.address + UInt64(bench.layout.recordsOffset)
        // Whole pages or any bytes; to be written or to be read; the records in the queue's area or anywhere.
        let choice = random.next()
        var data = UInt64.random(in: 0..<66, using: &random) * pageSize
        var length = UInt64.random(in: 1...4, using: &random) * pageSize
        if choice & 3 == 0 {
            data += random.next() % pageSize
            length = 1 + random.next() % length
        }
        let type = choice >> 2 & 7 == 0 ? UInt64(1) : 0
        let status = choice >> 5 & 3 == 0 ? random.next() % (66 * pageSize) : records + 32
        let header = choice >> 7 & 7 == 0 ? random.next() % (66 * pageSize) : records
        let chain = [
            header, 16 | next | 1 << 48, data,
            length | (type == 0 ? write : 0) | next | 2 << 48, status, 1 | write,
        ]
        for (index, word) in chain.enumerated() { store(word, at: index) }
        store(type, at: bench.layout.recordsOffset / 8)
        let used = halves[usedIndex].load(ordering: .acquiring)
        halves[availableIndex + 1 + Int(used % 16)].store(0, ordering: .relaxed)
        halves[availableIndex].store(used &+ 1, ordering: .releasing)
    }

    /// Where a device that is reset finds the rings.
    func resetQueue() {
        for index in [availableIndex, usedIndex] { halves[index].store(0, ordering: .releasing) }
    }

    // MARK: Conversions

    private func convert() {
        let start = UInt64.random(in: 0..<66, using: &random)
        let range = PageRange(start: start, count: .random(in: 1...4, using: &random))
        let state: PageState =
            start < Bench.pages && isShared[Int(start)] ? .private : .shared
        ask(range, to: state)
    }

    /// Asks until it is so, or refused.
    func ask(_ range: PageRange, to state: PageState) {
        let hooks = ConversionHooks(willCommit: { [self] range, state in
            for page in range.lower..<range.upper {
                if state == .private { stamp(page) } else { check(page) }
            }
            if state == .private { bench.ledger.willBecomePrivate(range) }
        })
        do throws(ConversionRefusal) {
            _ = try bench.strategy.convert(range, to: state, policy: .deny, hooks: hooks)
            for page in range.lower..<range.upper { isShared[Int(page)] = state == .shared }
            conversions.done += 1
        } catch {
            if case .pinned = error { conversions.pinned += 1 }
        }
    }

    private func memory(_ page: UInt64) -> UnsafeMutableRawPointer {
        bench.view.pointer(to: PageRange(start: page, count: 1))
    }
    private func stamp(_ page: UInt64) { Canary.stamp(memory(page), gfn: GFN(page)) }
    private func check(_ page: UInt64) {
        if Canary.damage(memory(page), gfn: GFN(page)) != nil { violations += 1 }
    }

    func checkPrivatePages() {
        for page in 0..<Bench.pages where !isShared[Int(page)] { check(page) }
    }

    /// The device waits for room where nobody reads its samples.
    func collect() {
        for sample in bench.takeSamples() {
            if sample.stalePages > 0 { violations += 1 }
            if sample.status == 0 { requests.served += 1 } else { requests.refused += 1 }
        }
    }
}

// Its own thread's, until that has been joined; what it shares with the device are atomics in guest memory.
extension HostileGuest: @unchecked Sendable {}
