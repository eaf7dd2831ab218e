import Testing

@testable import DmaReport

@Suite struct JSONReadingTests {
    @Test func whatIsWrittenIsRead() throws {
        let json = JSON.object([
            JSON.Member("a", .array([.null, .bool(true), .bool(false), JSON(-1.5e9)])),
            JSON.Member("", .object([])), JSON.Member("b\n\"", .string("x\t\u{1}")),
            JSON.Member("c", .array([])),
        ])
        #expect(JSON(reading: Array(json.compact.utf8)) == json)
        #expect(JSON(reading: Array(json.pretty.utf8)) == json)
        #expect(json["b\n\""]?.text == "x\t\u{1}" && json["c"]?.text == nil && json["d"] == nil)
        #expect(JSON.missing.text == nil)
    }

    /// Each with a neighbour that is read.
    @Test(arguments: [
        ("[1]", "[1"), ("[1,2]", "[1,]"), ("{\"a\":1}", "{\"a\"}"), ("{\"a\":1}", "{a:1}"),
        ("1", "1 2"), ("1", "01"), ("true", "tru"), ("\"\"", "\""), ("[]", "]"), ("null", ""),
    ])
    func whatIsNoDocumentIsRefused(good: String, bad: String) {
        #expect(JSON(reading: Array(good.utf8)) != nil)
        #expect(JSON(reading: Array(bad.utf8)) == nil)
    }

    /// A file of brackets must not exhaust the stack.
    @Test func depthIsBounded() {
        func nested(_ depth: Int) -> [UInt8] {
            Array(
                (String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        #expect(JSON(reading: nested(32)) != nil)
        #expect(JSON(reading: nested(33)) == nil && JSON(reading: nested(1_000_000)) == nil)
    }
}
