import DmaLinux
import Glibc

/// What one whole life of a device shows: how many instructions each stage takes, and which of them others can see.
///
/// To be killed after one instruction or after the next makes a difference to others only where the second one stores
/// to shared memory or is a system call. So those are the places to try first.
struct Survey {
    struct Stage {
        var length: UInt64 = 0
        /// After so many instructions something has just changed for others.
        var visible: [UInt64] = []
    }

    private(set) var stages: [Stage] = []
    /// A longer stage, such as one that fills a table of its own, is looked at to here.
    private static let longest: UInt64 = 60_000

    /// Follows a device from its start to its end. `pages` are those of the shared memory to look at.
    init(of device: TracedDevice, stages count: Int, looking pages: [UnsafeMutableRawPointer])
        throws
    {
        let seen = pages.map { Self.copy(of: $0) }
        defer { for page in seen { page.deallocate() } }
        for _ in 0..<count {
            var stage = Stage()
            var stop = TracedDevice.Stop.stepped
            while stop == .stepped, stage.length < Self.longest {
                let isCall = device.isAtSystemCall
                stop = device.step(1).stop
                stage.length += 1
                if Self.update(seen, from: pages) || isCall { stage.visible.append(stage.length) }
            }
            if stop == .stepped { stop = device.runToMark() }
            guard stop == .mark else {
                throw Complaint(description: "stage \(stages.count) ends so: \(stop)")
            }
            stages.append(stage)
        }
    }

    /// The pages of a mapping that a device writes in its life, as far as it does not put back what was there.
    static func pages(
        of mapping: SharedMapping, during body: (_ atMark: () throws -> Void) throws -> Void
    )
        throws -> [UnsafeMutableRawPointer]
    {
        var before: [Int: UnsafeMutableRawPointer] = [:]
        defer { for page in before.values { page.deallocate() } }
        var written: Set<Int> = []
        func forEachPage(_ body: (Int) -> Void) throws {
            try mapping.forEachPopulatedExtent { extent in
                for offset in stride(from: extent.lowerBound, to: extent.upperBound, by: 4096) {
                    body(offset)
                }
            }
        }
        try forEachPage { before[$0] = copy(of: mapping.base + $0) }
        try body {
            try forEachPage { offset in
                // What was a hole has been touched at least.
                guard let old = before[offset], memcmp(old, mapping.base + offset, 4096) == 0 else {
                    written.insert(offset)
                    return
                }
            }
        }
        return written.sorted().map { mapping.base + $0 }
    }

    private static func copy(of page: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
        copy.copyMemory(from: page, byteCount: 4096)
        return copy
    }

    /// Whether a page is not as it was seen last.
    private static func update(
        _ seen: [UnsafeMutableRawPointer], from pages: [UnsafeMutableRawPointer]
    ) -> Bool {
        var hasChanged = false
        for (copy, page) in zip(seen, pages) where memcmp(copy, page, 4096) != 0 {
            copy.copyMemory(from: page, byteCount: 4096)
            hasChanged = true
        }
        return hasChanged
    }
}
