import GuestMemory

/// Finds pages that two ranges share, in time linear in their number and without allocation.
///
/// A hostile guest chooses the order, so the check may not depend on it: the ranges are sorted by
/// start with a radix sort, eight bits at a time, after which an overlap shows between neighbours.
struct OverlapCheck {
    private var keys: [UInt64]
    private var spare: [UInt64]
    private var offsets = [Int](repeating: 0, count: 256)

    init(capacity: Int) {
        keys = Array(repeating: 0, count: capacity)
        spare = keys
    }

    /// The first page, by number, at which a range starts inside another.
    mutating func firstOverlap(in ranges: [PageRange]) -> GFN? {
        // A range fits in 64 bits, its start above: neither start nor count - 1 reaches 2^32.
        var varying: UInt64 = 0
        for (index, range) in ranges.enumerated() {
            keys[index] = range.lower << 32 | (range.count.rawValue - 1)
            varying |= keys[index] ^ keys[0]
        }
        for shift in stride(from: UInt64(32), to: 64, by: 8) where varying >> shift & 0xff != 0 {
            sort(count: ranges.count, byDigitAt: shift)
        }
        var end: UInt64 = 0
        for index in 0..<ranges.count {
            let start = keys[index] >> 32
            if start < end { return GFN(start) }
            end = start + (keys[index] & 0xffff_ffff) + 1
        }
        return nil
    }

    private mutating func sort(count: Int, byDigitAt shift: UInt64) {
        for digit in 0..<256 { offsets[digit] = 0 }
        for index in 0..<count { offsets[Int(keys[index] >> shift & 0xff)] += 1 }
        var sum = 0
        for digit in 0..<256 {
            let size = offsets[digit]
            offsets[digit] = sum
            sum += size
        }
        for index in 0..<count {
            let digit = Int(keys[index] >> shift & 0xff)
            spare[offsets[digit]] = keys[index]
            offsets[digit] += 1
        }
        swap(&keys, &spare)
    }
}
