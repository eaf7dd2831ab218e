import GuestMemory
import PinLock

@testable import Virtqueue

/// A guest that does what an input says, a move at a time.
///
/// A move: how many turns to let pass before it; its kind in the lower three bits, and a detail above them; two bytes
/// of argument; a word of eight (little-endian).
final class Guest {
    private static let moveByteCount = 12
    /// What a device may do for one move: as many requests as the queue has room for, each with the longest chain and
    /// a pin for each of its pages.
    private static let mostTurns = Machine.layout.queueSize * (64 + 4 * Int(Machine.pages))

    private let machine: Machine
    private var moves: UnsafeRawBufferPointer.SubSequence
    /// Turns until the next move.
    private var delay = 0
    private var turnsSinceMove = 0
    private var availableIndex: UInt16 = 0
    private var generation: UInt64 = 0

    init(_ machine: Machine, moves: UnsafeRawBufferPointer) {
        self.machine = machine
        self.moves = moves[...]
        takeDelay()
    }

    var hasMoves: Bool { moves.count >= Self.moveByteCount }

    private func takeDelay() {
        delay = hasMoves ? Int(moves[moves.startIndex]) : 0
        turnsSinceMove = 0
    }

    /// The guest's turn: everything that is due.
    func move() {
        turnsSinceMove += 1
        precondition(
            turnsSinceMove <= Self.mostTurns + delay, "the device goes on and on without a cause")
        guard delay == 0 else {
            delay -= 1
            return
        }
        while hasMoves, delay == 0 { makeNextMove() }
    }

    /// Nothing happens until the guest does something.
    func moveAtOnce() { if hasMoves { makeNextMove() } }

    private func makeNextMove() {
        let move = UnsafeRawBufferPointer(rebasing: moves.prefix(Self.moveByteCount))
        // Before it is made: it may come to another turn.
        moves = moves.dropFirst(Self.moveByteCount)
        takeDelay()
        let kind = move[1] & 7
        let detail = move[1] >> 3
        let argument = Int(move.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        let word = move.loadUnaligned(fromByteOffset: 4, as: UInt64.self)
        switch kind {
        case 0, 1: words[Self.place(argument)] = word
        case 2: words[argument % words.count] = word
        case 3: change(argument, word, detail)
        case 4: storeData(GFN(UInt64(argument) % Machine.pages), word)
        case 5: request(word, isIndirect: argument & 1 != 0, count: 1 + Int(detail) % 6)
        case 6: publish(by: UInt16(detail))
        default: halfWords[argument % halfWords.count] = UInt16(truncatingIfNeeded: word)
        }
    }

    // MARK: Memory

    private var words: UnsafeMutableBufferPointer<UInt64> {
        machine.guestView.bytes(of: Machine.area).bindMemory(to: UInt64.self)
    }
    private var halfWords: UnsafeMutableBufferPointer<UInt16> {
        UnsafeMutableBufferPointer(
            start: UnsafeMutableRawPointer(words.baseAddress!).assumingMemoryBound(to: UInt16.self),
            count: words.count * 4)
    }

    /// The 56 words of rings and indirect table, and the first eight of the records.
    private static func place(_ argument: Int) -> Int {
        let index = argument & 63
        return index < 56 ? index : Machine.layout.recordsOffset / 8 + index - 56
    }

    /// Only in shared memory: what a guest does to its private pages is its own affair, and would look like a device's
    /// doing.
    private func storeData(_ page: GFN, _ word: UInt64) {
        guard machine.isShared[Int(page.rawValue)], !Machine.area.contains(page) else { return }
        machine.guestView.pointer(to: PageRange(start: page.rawValue, count: 1)).storeBytes(
            of: word, as: UInt64.self)
    }

    // MARK: Page state changes

    /// A range of small numbers, or of such as do not fit anywhere.
    private func change(_ argument: Int, _ word: UInt64, _ detail: UInt8) {
        let start = (word & 0xFFFF_FFFF) << UInt64(argument & 31)
        let count = (word >> 32) << UInt64(argument >> 5 & 31)
        machine.changePageState(
            start: start, count: count, toPrivate: argument & 0x8000 != 0,
            due: detail == 0 ? 0 : UInt64.max >> UInt64(detail - 1))
    }

    // MARK: Requests, as a driver would write them

    /// One with up to six ranges of data, of a byte each: the page, and above it the count less one.
    private func request(_ data: UInt64, isIndirect: Bool, count: Int) {
        generation += 1
        let (layout, start) = (Machine.layout, Machine.area.start.address)
        let header = start + UInt64(layout.recordsOffset)
        var chain = [Descriptor(address: header, length: 16, flags: .next, next: 1)]
        for index in 0..<count {
            let byte = data >> UInt64(8 * index) & 0xFF
            chain.append(
                Descriptor(
                    address: (byte & 63) * pageSize, length: UInt32(1 + byte >> 6) * 4096,
                    flags: [.write, .next], next: UInt16(index + 2)))
        }
        chain.append(Descriptor(address: header + 32, length: 32, flags: .write, next: 0))
        let table = isIndirect ? layout.indirectTablesOffset / 8 : 0
        for (index, descriptor) in chain.enumerated() { write(descriptor, at: table + 2 * index) }
        let head = isIndirect ? layout.queueSize - 1 : 0
        if isIndirect {
            let length = UInt32(chain.count * Descriptor.byteCount)
            write(
                Descriptor(
                    address: start + UInt64(layout.indirectTablesOffset), length: length,
                    flags: .indirect, next: 0), at: 2 * head)
        }
        words[layout.recordsOffset / 8] = UInt64(RequestHeader.write)
        words[layout.recordsOffset / 8 + 1] = generation
        halfWords[
            layout.availableRingOffset / 2 + 2 + Int(availableIndex) % layout.queueSize] = UInt16(
                head)
        publish(by: 1)
    }

    private func write(_ descriptor: Descriptor, at word: Int) {
        words[word] = descriptor.address
        words[word + 1] =
            UInt64(descriptor.length) | UInt64(descriptor.flags.rawValue) << 32
            | UInt64(descriptor.next) << 48
    }

    private func publish(by count: UInt16) {
        availableIndex &+= count
        halfWords[Machine.layout.availableRingOffset / 2 + 1] = availableIndex
    }

    func resetQueue() {
        availableIndex = 0
        for ring in [Machine.layout.availableRingOffset, Machine.layout.usedRingOffset] {
            halfWords[ring / 2] = 0
            halfWords[ring / 2 + 1] = 0
        }
    }
}
