import GuardedMemory
import GuestMemory
import Testing

@testable import DmaWriter

@Suite struct ReadTests {
    /// Any bytes: the digest is that of exactly these, taken one by one.
    @Test func readsTheRangeAndNothingElse() throws {
        let memory = try GuardedPages(pages: 4)
        for index in memory.bytes.indices {
            memory.bytes[index] = UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8)
        }
        for offset in [0, 1, 7, 63, 64, 65, 4095] {
            for length in [0, 1, 5, 63, 64, 65, 200, 4096, 4097, 12_000] {
                let range = offset..<offset + length
                var expected: UInt64 = 0
                for index in range {
                    expected ^= UInt64(memory.bytes[index]) << (8 * UInt64(index % 8))
                }
                var reader = DmaReader()
                reader.read(UnsafeRawBufferPointer(rebasing: memory.bytes[range]))
                #expect(reader.digest == expected, "\(range)")
            }
        }
    }

    /// The other engine has the bytes in its own memory afterwards, these and no others; of more than it holds the end.
    @Test func copiesTheRangeAndNothingElse() throws {
        let memory = try GuardedPages(pages: 4)
        for index in memory.bytes.indices { memory.bytes[index] = UInt8(index * 7 % 251) }
        for range in [0..<0, 0..<1, 5..<4101, 4096..<16_384, 0..<16_384] {
            var reader = DmaReader(.copy)
            reader.read(UnsafeRawBufferPointer(rebasing: memory.bytes[range]))
            let target = try #require(reader.target)
            #expect(Array(target.bytes) == Array(memory.bytes[range]), "\(range)")
            #expect(reader.digest == 0)
        }
        let large = [UInt8](unsafeUninitializedCapacity: 9 << 20) { bytes, count in
            for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index >> 20) }
            count = bytes.count
        }
        var reader = DmaReader(.copy)
        large.withUnsafeBytes { reader.read($0) }
        let target = try #require(reader.target)
        #expect(target.bytes.count == 1 << 20 && target.bytes.allSatisfy { $0 == 8 })
    }

    /// The parts of a request read one after the other come to what the whole comes to, and a byte left out shows.
    @Test func partsAddUp() throws {
        let memory = try GuardedPages(pages: 1)
        for index in memory.bytes.indices { memory.bytes[index] = UInt8(index % 251 + 1) }
        var (whole, parts, short) = (DmaReader(), DmaReader(), DmaReader())
        whole.read(UnsafeRawBufferPointer(memory.bytes))
        for bytes in [0..<3, 3..<700, 700..<4096] {
            parts.read(UnsafeRawBufferPointer(rebasing: memory.bytes[bytes]))
        }
        short.read(UnsafeRawBufferPointer(rebasing: memory.bytes[0..<4095]))
        #expect(whole.digest == parts.digest && whole.digest != short.digest)
    }
}
