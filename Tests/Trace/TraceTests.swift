import DmaStatistics
import GuestMemory
import Testing

@testable import Trace

@Suite struct TraceTests {
    static let head = "# dma-bench trace 1\ndue_ns,queue,direction,ranges\n"

    private func read(_ lines: String) throws(TraceError) -> Trace {
        try Trace(Array((Self.head + lines).utf8))
    }

    private func refusal(_ text: String) -> TraceError? {
        do throws(TraceError) {
            _ = try Trace(Array(text.utf8))
            return nil
        } catch { return error }
    }

    @Test func looksAsItIsSaidTo() throws {
        var trace = Trace()
        trace.append(due: 0, .write, [TraceSegment(address: 4096 * 4096, byteCount: 4096)])
        trace.append(
            due: 1500, queue: 3, .read,
            [
                TraceSegment(address: 5000 * 4096 + 512, byteCount: 512),
                TraceSegment(address: 7 * 4096 + 1, byteCount: 8191),
                TraceSegment(address: 9 * 4096, byteCount: 4097),
            ])
        trace.lost = 2
        let text = String(decoding: trace.text, as: UTF8.self)
        #expect(
            text == Self.head + """
                0,0,write,4096+1
                1500,3,read,5000:512+1:1024 7:1+2 9+2:1
                # end: 2 requests, 2 lost

                """)
        #expect(try Trace(trace.text) == trace)
    }

    /// Every way in which bytes can begin and end in three pages, and what comes back.
    @Test func everyByteRangeComesBack() throws {
        let edges: [UInt64] = [0, 1, 511, 512, 4095, 4096, 4097, 8191, 8192, 8193, 12287, 12288]
        var trace = Trace()
        for begin in edges {
            for end in edges where end > begin {
                trace.append(
                    due: begin, .write, [TraceSegment(address: begin, byteCount: end - begin)])
            }
        }
        #expect(trace.requests.count == 66)
        #expect(try Trace(trace.text) == trace)
    }

    @Test func theLargestNumbersComeBack() throws {
        var trace = Trace()
        trace.append(due: 0, .write, [TraceSegment(address: 0, byteCount: 1)])
        trace.append(
            due: Trace.spanLimit, queue: .max, .read,
            [TraceSegment(address: 1 << 44 - 1, byteCount: 1)])
        #expect(try Trace(trace.text) == trace)
    }

    /// Longer than a range may be: written as several, which are the same bytes.
    @Test func aLongSegmentIsSeveral() throws {
        var trace = Trace()
        trace.append(
            due: 0, .write, [TraceSegment(address: 4096 + 100, byteCount: 5 << 30)])
        let segments = try Trace(trace.text).segments(of: 0)
        #expect(segments.count == 3 && segments.first?.address == 4196)
        for (one, next) in zip(segments, segments.dropFirst()) {
            #expect(one.address + one.byteCount == next.address)
        }
        #expect(segments.reduce(0) { $0 + $1.byteCount } == 5 << 30)
    }

    /// Whoever cuts a part out need not change its times, however late it begins.
    @Test(arguments: [700_000_000_000, UInt64.max - 1500])
    func timesCountFromTheFirstRequest(_ start: UInt64) throws {
        let trace = try read("\(start),0,write,1+1\n\(start + 1500),0,read,2+1\n")
        #expect(trace.requests.map(\.due) == [0, 1500] && trace.span == 1500)
        #expect(try Trace(trace.text) == trace)
    }

    @Test func commentsAndAMissingEndAreRight() throws {
        let trace = try read("# by hand\n0,0,write,1+1\n")
        #expect(trace.requests.count == 1 && trace.lost == 0)
    }

    @Test(
        arguments: [
            ("", 1, "nothing is there"),
            ("due_ns\n", 1, "begins with"),
            ("# dma-bench trace 2\n", 1, "begins with"),
            ("# dma-bench trace 1\n", 2, "columns"),
            ("# dma-bench trace 1\ndue_ns\n", 2, "columns"),
            (head, 3, "no requests"),
            (head + "0,0,write,1+1\n0,0,write,12", 4, "cut off"),
            (head + "x,0,write,1+1\n", 3, "due_ns"),
            (head + "-1,0,write,1+1\n", 3, "due_ns"),
            (head + "18446744073709551616,0,write,1+1\n", 3, "due_ns"),
            (head + "7,0,write,1+1\n86400000000008,0,write,1+1\n", 4, "a day"),
            (head + "5,0,write,1+1\n4,0,write,1+1\n", 4, "before"),
            (head + "0,65536,write,1+1\n", 3, "queue"),
            (head + "0,,write,1+1\n", 3, "queue"),
            (head + "0,0,in,1+1\n", 3, "direction"),
            (head + "0,0,write,\n", 3, "gfn+pages"),
            (head + "0,0,write,1\n", 3, "gfn+pages"),
            (head + "0,0,write,1+1 \n", 3, "gfn+pages"),
            (head + "0,0,write,1+1,\n", 3, "something follows"),
            (head + "0,0,write,1+1\r\n", 3, "something follows"),
            (head + "0,0,write,1+0\n", 3, "0 pages"),
            (head + "0,0,write,1+524289\n", 3, "524289 pages"),
            (head + "0,0,write,4294967296+1\n", 3, "16 TiB"),
            (head + "0,0,write,4294967295+2\n", 3, "16 TiB"),
            (head + "0,0,write,18446744073709551615+1\n", 3, "16 TiB"),
            (head + "0,0,write,1:0+1\n", 3, "number of bytes"),
            (head + "0,0,write,1:4096+1\n", 3, "number of bytes"),
            (head + "0,0,write,1+1:4096\n", 3, "number of bytes"),
            (head + "0,0,write,1:9+1:9\n", 3, "begins at byte 9"),
            (head + "0,0,write,1+1\n# end: 2 requests, 0 lost\n", 4, "where there were 2"),
            (head + "0,0,write,1+1\n# end: 1 requests\n", 4, "last line"),
            (head + "0,0,write,1+1\n# end: 1 requests, 0 lost\n0,0,write,1+1\n", 5, "follows"),
        ] as [(String, Int, String)])
    func whatIsWrongHasALine(_ text: String, _ line: Int, _ words: String) throws {
        let error = try #require(refusal(text))
        #expect(error.line == line && error.reason.contains(words), "\(error)")
    }

    /// What a guest sends is written so that it can be read, or not at all: descriptors of 4 GiB are three ranges each, and
    /// more than a request has if there are enough of them.
    @Test func whatNoReaderWouldTakeIsLeftOut() throws {
        let usual = [TraceSegment(address: 4096, byteCount: 4096)]
        var writer = TraceWriter()
        var text = writer.header
        writer.write(due: 0, queue: 0, .write, usual, to: &text)
        for count in [Trace.chainLimit / 3, Trace.chainLimit / 3 + 1, 32_766] {
            let hostile = (0..<count).map {
                TraceSegment(address: UInt64($0 % 9) * 8192 + 5, byteCount: 4 << 30 - 1)
            }
            writer.write(due: 1, queue: 0, .read, hostile, to: &text)
        }
        writer.write(due: 2, queue: 0, .write, usual, to: &text)
        #expect(writer.count == 3 && writer.lost == 2 && writer.limit == nil)
        let trace = try Trace(text + writer.end(lost: 5))
        #expect(trace.requests.map(\.due) == [0, 1, 2] && trace.lost == 7)
        #expect(trace.segments(of: 1).count == Trace.chainLimit / 3 * 3)
    }

    /// At the first request too many it is over, and the text stays within what a reader takes.
    @Test(
        arguments: [
            (TraceWriter.Limits(requests: 3), "3 requests", 3),
            (TraceWriter.Limits(ranges: 9), "9 ranges", 4),
            (TraceWriter.Limits(bytes: 400), "400 bytes", nil), (TraceWriter.Limits(), "a day", 6),
        ] as [(TraceWriter.Limits, String, UInt64?)])
    func stopsWhereATraceIsFull(
        _ limits: TraceWriter.Limits, _ words: String, _ count: UInt64?
    ) throws {
        var writer = TraceWriter(limits)
        var text = writer.header
        let segments = [4096, 12288].map { TraceSegment(address: $0, byteCount: 4096) }
        for number in 0..<10 as Range<UInt64> {
            writer.write(
                due: 7 + number * Trace.spanLimit / 5, queue: 0, .write, segments, to: &text)
        }
        let reason = try #require(writer.limit)
        #expect(reason.contains(words))
        if let count { #expect(writer.count == count) }
        #expect(writer.count > 0 && writer.count + writer.lost == 10)
        text += writer.end(lost: .max - 10)
        #expect(text.count <= limits.bytes)
        let trace = try Trace(text)
        #expect(trace.requests.count == Int(writer.count))
        #expect(trace.lost == .max - 10 + writer.lost)
        #expect(String(decoding: text, as: UTF8.self).contains("\n# full: \(reason)\n# end: "))
    }

    @Test func tooMuchIsRefused() {
        let long = String(repeating: " 1+1", count: Trace.chainLimit)
        let error = refusal(Self.head + "0,0,write,1+1" + long + "\n")
        #expect(error?.line == 3 && error!.reason.contains("ranges at most"))
    }

    /// A right trace with some bytes changed: refused, or a trace that comes back as it was read. Never a trap.
    @Test func anyTextIsATraceOrAnError() throws {
        var random = SplitMix64(seed: 1)
        let right = Array(
            (Self.head
                + "0,0,write,4096+1 5000:512+1:1024\n17,1,read,9:1+2\n# end: 2 requests, 0 lost\n")
                .utf8)
        let characters = Array("0159:+,# \n-x\u{0}".utf8)
        var (kept, refused) = (0, 0)
        for _ in 0..<5_000 {
            var text = right
            for _ in 0...random.below(3) {
                let place = Int(random.below(UInt64(text.count)))
                switch random.below(3) {
                case 0: text[place] = characters[Int(random.below(UInt64(characters.count)))]
                case 1:
                    text.insert(characters[Int(random.below(UInt64(characters.count)))], at: place)
                default: text.remove(at: place)
                }
            }
            guard let trace = try? Trace(text) else {
                refused += 1
                continue
            }
            kept += 1
            #expect(try Trace(trace.text) == trace)
        }
        #expect(kept > 100 && refused > 1_000)
    }
}
