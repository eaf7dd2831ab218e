import DmaLinux
import GuestMemory

@testable import PinLock

// Pins, page state changes and deaths of devices, of every strategy, with any range at any time: refused or carried out
// as the contract says (Tests/PinLock/Reference.swift), never both pinned and private, never a loop as long as the
// numbers in it are large.
//
// An input: the strategy, then in its lowest bit whether RMP entries are of 2 MiB, then operations of four bytes: kind,
// device and policy; start; count; by how many pairs of bits each of the two is shifted.

private let strategies = Registry.all.filter {
    $0.info.isSafe && $0.info.promisesByPins && $0.unavailability(pinning: PageCount(64)) == nil
}
/// With large entries a region and a part of one; with small ones what has several levels of the tree.
private func pages(_ entrySize: EntrySize) -> UInt64 { entrySize == .large ? 600 : 70 }
private let largest = try! Arena.create(pages: PageCount(pages(.large)), entrySize: .large)
/// So far. An audit looks at a whole GiB, and takes as long as many an input: the first has one, so that what is found
/// is found again, and then some.
private nonisolated(unsafe) var lives = 0

@c(LLVMFuzzerTestOneInput)
public func fuzzConversions(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    func run<Strategy: PinStrategy>(_: Strategy.Type) {
        let life = Life<Strategy>(entrySize: input[1] & 1 != 0 ? .large : .small)
        for place in stride(from: 2, through: count - 4, by: 4) {
            life.step(Operation(UnsafeRawBufferPointer(rebasing: input[place..<place + 4])))
        }
        life.end()
    }
    let strategy: any PinStrategy.Type = strategies[Int(input[0]) % strategies.count]
    run(strategy)
    return 0
}

/// What the input asks for next.
private struct Operation {
    enum Kind: UInt8 { case pin, pinList, unpin, share, shareAgain, close, closeAgain, die }

    let kind: Kind
    let device: Int
    let policy: ConflictPolicy
    let number: Int
    /// Nil where the numbers are no range: then there is nothing that could be asked.
    let range: PageRange?

    init(_ bytes: UnsafeRawBufferPointer) {
        kind = Kind(rawValue: bytes[0] & 7)!
        device = Int(bytes[0] >> 3 & 1)
        let past = Deadline(nanoseconds: 0)
        policy =
            switch bytes[0] >> 4 & 3 {
            case 1: .wait(until: past)
            case 2: .revoke(until: past)
            default: .deny
            }
        number = Int(bytes[1])
        range = PageRange(
            checkingStart: UInt64(bytes[1]) << (2 * UInt64(bytes[3] & 15)),
            count: UInt64(bytes[2]) << (2 * UInt64(bytes[3] >> 4)))
    }
}

/// A guest's life under one strategy, beside the reference.
private final class Life<Strategy: PinStrategy> {
    private let strategy: Strategy
    private var devices: [Strategy.Device?]
    private var held: [(pin: Pin, ranges: [PageRange])] = [] {
        didSet { reference.pins = held.flatMap(\.ranges) }
    }
    private var reference: Reference

    init(entrySize: EntrySize) {
        let pages = pages(entrySize)
        strategy = Strategy(
            arena: try! largest.reset(pages: PageCount(pages), entrySize: entrySize))
        devices = [0, 1].map { [strategy] in strategy.pinner(for: DeviceID($0)) }
        reference = Reference(edges: Array(0...pages))
        if entrySize == .large { reference.entries.split = [] }
        reference.entries.pinsCountForTheirEntry = Strategy.self == PerPage.self
    }

    func step(_ operation: Operation) {
        switch operation.kind {
        case .unpin: if !held.isEmpty { unpin(operation.number % held.count) }
        case .die: die(operation.device)
        case .pin:
            if let range = operation.range { pin([range], by: operation.device) }
        case .pinList:
            // Where the start is shifted, the page is somewhere else.
            if let range = operation.range {
                let page = PageRange(start: UInt64(operation.number), count: 1)
                pin([range, page], by: operation.device)
            }
        case .share, .shareAgain:
            if let range = operation.range { convert(range, to: .shared, operation.policy) }
        case .close, .closeAgain:
            if let range = operation.range { convert(range, to: .private, operation.policy) }
        }
    }

    private func pin(_ ranges: [PageRange], by device: Int) {
        let lists = held.count { $0.pin.device.rawValue == device && $0.ranges.count > 1 }
        guard ranges.count == 1 || lists < Journal.listCapacity else { return }
        let refusals = ranges.compactMap(reference.pinRefusal)
        // What no guest has is told of before anything is looked at.
        let expected =
            refusals.first { if case .outOfRange = $0 { true } else { false } } ?? refusals.first
        do throws(PinRefusal) {
            held.append((try devices[device]!.pin(ranges.span), ranges))
            precondition(expected == nil, "\(ranges) are pinned, and must not be: \(expected!)")
        } catch {
            precondition(
                error == expected, "pin of \(ranges): \(error), not \(expected, default: "done")")
        }
    }

    private func unpin(_ index: Int) {
        let (pin, _) = held.remove(at: index)
        devices[pin.device.rawValue]!.unpin(pin)
    }

    private func convert(_ range: PageRange, to state: PageState, _ policy: ConflictPolicy) {
        var expected = reference.conversionRefusal(range, to: state)
        if policy != .deny, case .pinned(let gfn) = expected { expected = .deadlinePassed(gfn) }
        let hooks = ConversionHooks(willCommit: { [self] range, _ in expectClosed(range) })
        do throws(ConversionRefusal) {
            _ = try strategy.convert(range, to: state, policy: policy, hooks: hooks)
            precondition(expected == nil, "\(range) became \(state), and must not: \(expected!)")
            reference.convert(range, to: state)
        } catch {
            precondition(
                error == expected,
                "\(range) to \(state): \(error), not \(expected, default: "done")")
        }
    }

    /// In the middle of a conversion nobody else gets at its pages.
    private func expectClosed(_ range: PageRange) {
        for place in [range.lower, range.upper - 1] {
            let page = PageRange(start: place, count: 1)
            do throws(PinRefusal) {
                _ = try devices[0]!.pin(page)
                fatalError("\(page) is pinned while it is being converted")
            } catch {}
            for state in [PageState.private, .shared] {
                do throws(ConversionRefusal) {
                    _ = try strategy.convert(
                        page, to: state, policy: .deny, hooks: ConversionHooks())
                    fatalError("\(page) is converted twice at a time")
                } catch {
                    precondition(error == .converting(page.start), "\(page): \(error)")
                }
            }
        }
    }

    /// The device's process ends, with all it holds; another one takes its place.
    private func die(_ device: Int) {
        let id = DeviceID(device)
        let lost = held.count { $0.pin.device == id }
        held.removeAll { $0.pin.device == id }
        devices[device] = nil
        let recovered = try! strategy.recover(id, until: Deadline(nanoseconds: 0))
        precondition(recovered == lost, "\(recovered) pins of \(lost) were recovered")
        devices[device] = strategy.pinner(for: id)
    }

    func end() {
        lives += 1
        if lives % 64 == 1 { audit() }
        while !held.isEmpty { unpin(held.count - 1) }
        if lives % 64 == 1 { audit() }
        let left = strategy.arena.livePins
        precondition(left == 0, "\(left) pins are left")
        let states = reference.states.indices.map {
            strategy.arena.table.state(of: GFN(UInt64($0)))
        }
        precondition(states == reference.states, "the table is not what it should be")
    }

    private func audit() {
        let complaint = try! strategy.audit()
        precondition(complaint == nil, complaint!)
    }
}
