import DmaStatistics
import GuestMemory
import Settings
import Virtqueue

/// The chains of a driver's requests that are not in flight, built once and taken by direction.
struct PreparedRequests {
    private var writes: [PreparedRequest] = []
    private var reads: [PreparedRequest] = []
    /// By the places of the queue.
    private var areReads: [Bool]

    /// `count` of each direction that there is, all for the same data.
    init(
        _ count: Int, _ direction: Direction, data: [PageRange], in ring: inout DriverQueue
    ) throws(PrepareError) {
        areReads = Array(repeating: false, count: ring.layout.requests)
        for _ in 0..<count {
            if direction != .read { writes.append(try ring.prepare(.in, data: data)) }
            guard direction != .write else { continue }
            let request = try ring.prepare(.out, data: data)
            areReads[request.slot] = true
            reads.append(request)
        }
    }

    /// One that is not in flight; there is one as long as fewer are in flight than there may be.
    mutating func take(isRead: Bool) -> PreparedRequest {
        isRead ? reads.removeLast() : writes.removeLast()
    }

    func isRead(_ request: PreparedRequest) -> Bool { areReads[request.slot] }

    /// It has come back.
    mutating func giveBack(_ request: PreparedRequest) {
        if areReads[request.slot] { reads.append(request) } else { writes.append(request) }
    }
}

/// Which way the next request goes.
struct DirectionDraw {
    private let direction: Direction
    private var random: SplitMix64

    /// Each device draws its own.
    init(_ direction: Direction, device: Int, seed: UInt64) {
        self.direction = direction
        // Not those of the times at which requests are due.
        var seeds = SplitMix64(seed: ~seed)
        for _ in 0..<device { _ = seeds.next() }
        random = SplitMix64(seed: seeds.next())
    }

    mutating func isRead() -> Bool {
        switch direction {
        case .write: false
        case .read: true
        case .mixed(let reads): random.below(100) < reads
        }
    }
}
