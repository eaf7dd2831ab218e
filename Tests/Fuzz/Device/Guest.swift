import GuestMemory
import PinLock

@testable import Virtqueue

/// A guest that does what an input says, a move at a time.
///
/// A move: how many turns to let pass before it; its kind in the lower three bits, and a detail above them; two bytes
/// of argument; a word of eight (little-endian).
final class Guest {
    private static let moveByteCount = 12
    /// What a device may do for one move: as many requests as the queue has room for, each with the longest chain, whose
    /// segments are all of guest memory, and a pin for each of their pages.
    private static let mostTurns = Machine.layout.queueSize * (80 + 4 * 6 * Int(Machine.pages))

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
        case 4: storeData(GFN(UInt64(argument) % Machine.pages), 8 * Int(detail), word)
        case 5: request(word, Choice(rawValue: argument), count: 1 + Int(detail) % 6)
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
    private func storeData(_ page: GFN, _ offset: Int, _ word: UInt64) {
        guard machine.isShared[Int(page.rawValue)], !Machine.area.contains(page) else { return }
        machine.guestView.pointer(to: PageRange(start: page.rawValue, count: 1)).storeBytes(
            of: word, toByteOffset: offset, as: UInt64.self)
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

    /// What a request is like besides its data.
    private struct Choice: OptionSet {
        let rawValue: Int

        static let indirect = Choice(rawValue: 1)
        /// The device is to read.
        static let out = Choice(rawValue: 2)
        /// Header and status lie in the page that the upper byte names; else in the queue's area.
        static let strayHeader = Choice(rawValue: 4)
        static let strayStatus = Choice(rawValue: 8)
        /// Segments begin and end within a page.
        static let odd = Choice(rawValue: 16)

        /// An address in that page, at an alignment of its own.
        var place: UInt64 {
            (UInt64(rawValue) >> 8 & 63) * pageSize + (UInt64(rawValue) >> 14 & 3) * 2039
        }
    }

    /// One with up to six ranges of data, of a byte each: the page, and above it the count less one.
    private func request(_ data: UInt64, _ choice: Choice, count: Int) {
        generation += 1
        let (layout, start) = (Machine.layout, Machine.area.start.address)
        let isIndirect = choice.contains(.indirect)
        let records = start + UInt64(layout.recordsOffset)
        let header = choice.contains(.strayHeader) ? choice.place : records
        let status = choice.contains(.strayStatus) ? choice.place + 16 : records + 32
        let flags: Descriptor.Flags = choice.contains(.out) ? .next : [.write, .next]
        var chain = [Descriptor(address: header, length: 16, flags: .next, next: 1)]
        for index in 0..<count {
            let byte = data >> UInt64(8 * index) & 0xFF
            let odd: UInt64 = choice.contains(.odd) ? 509 : 0
            chain.append(
                Descriptor(
                    address: (byte & 63) * pageSize + odd,
                    length: UInt32((1 + byte >> 6) * 4096 - 2 * odd), flags: flags,
                    next: UInt16(index + 2)))
        }
        chain.append(Descriptor(address: status, length: 1, flags: .write, next: 0))
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
        let type: RequestType = choice.contains(.out) ? .out : .in
        words[layout.recordsOffset / 8] = UInt64(type.rawValue)
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
