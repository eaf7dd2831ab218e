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
