import Foundation
import Testing

extension EndToEnd {
    /// What a viewer is given, and whether it is what the rows say.
    @Suite struct TimelineTests {
        private struct Span {
            let name: String
            let process: Int
            let track: Int
            let start: Double
            let duration: Double
            var end: Double { start + duration }
        }

        private static func read(_ path: String) throws -> (spans: [Span], names: [String]) {
            let json = try JSONSerialization.jsonObject(with: Data(readFile(path).utf8))
            let events = try #require(json as? [[String: Any]])
            var (spans, names) = ([Span](), [String]())
            for event in events {
                let process = try #require(event["pid"] as? Int)
                let arguments = try #require(event["args"] as? [String: Any])
                if event["ph"] as? String == "M" {
                    names.append(try #require(arguments["name"] as? String))
                    continue
                }
                #expect(event["ph"] as? String == "X")
                spans.append(
                    Span(
                        name: try #require(event["name"] as? String), process: process,
                        track: try #require(event["tid"] as? Int),
                        start: try #require(event["ts"] as? Double),
                        duration: try #require(event["dur"] as? Double)))
            }
            return (spans, names)
        }

        @Test func itsSumsAreThoseOfTheRows() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("timeline.json")
            let outcome = try run(
                "--size", "1M", "--strategy", "rangetree,perpage", "--devices", "1", "--rounds",
                "1",
                "--ops", "50", "--convert-rate", "2000", "--convert-where", "inside", "--timeline",
                path)
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let rows = try Rows(csv: outcome.output).rows
            let (spans, names) = try Self.read(path)
            #expect(
                names.contains("device 0")
                    && names.contains { $0.hasPrefix("round 1: perpage, 1M") })
            for (index, row) in rows.enumerated() {
                let turn = spans.filter { $0.process == index + 1 }
                func named(_ name: String) -> [Span] { turn.filter { $0.name == name } }
                let requests = named("request")
                #expect(
                    requests.count == 50
                        && named("pin").count == requests.count + named("refused").count)
                // Exact sums: means of the completed requests, in nanoseconds.
                for (name, column) in [("pin", "pin_ns_mean"), ("unpin", "unpin_ns_mean")] {
                    let within = named(name).filter { part in
                        requests.contains { $0.start <= part.start && part.end <= $0.end + 0.001 }
                    }
                    let mean = within.reduce(0) { $0 + $1.duration } / Double(within.count) * 1000
                    let told = try #require(Double(row[column]))
                    #expect(
                        within.count == 50 && abs(mean - told) <= 0.01 * told + 0.2,
                        "\(name): \(mean), \(told)"
                    )
                }
                let carriedOut = named("conversion").count + named("wait").count
                #expect("\(carriedOut)" == row["conversions"])
                #expect("\(named("denial").count)" == row["conversions_denied"])
                // Requests of a device never overlap, and parts lie within them in their order.
                let ordered = (requests + named("refused")).sorted { $0.start < $1.start }
                #expect(zip(ordered, ordered.dropFirst()).allSatisfy { $0.end <= $1.start + 0.001 })
                #expect(turn.allSatisfy { $0.start >= -0.001 && $0.duration >= 0 })
                // The devices' clock and the hypervisor's are one: what denies a conversion is a pin, and pins are held
                // within requests. Before the first one that counts there were others.
                let first = try #require(ordered.first).start
                for denial in named("denial") where denial.start >= first {
                    #expect(
                        ordered.contains {
                            $0.start <= denial.end + 1 && denial.start <= $0.end + 1
                        })
                }
            }
        }

        /// A thousand of each, however many there are.
        @Test func itIsBounded() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("timeline.json")
            let outcome = try run(
                "--size", "4K", "--rounds", "1", "--ops", "3000", "--convert-rate", "max",
                "--convert-pages", "1", "--timeline", path)
            #expect(outcome.end == .exited(0))
            let spans = try Self.read(path).spans
            #expect(spans.count { $0.name == "request" } == 1000)
            #expect(spans.count { $0.name == "due" } <= 1000)
        }

        @Test func whereItCannotBeWrittenNothingIsMeasured() throws {
            let outcome = try run(
                "--size", "4K", "--rounds", "1", "--ops", "1", "--timeline", "/dev/null/x")
            #expect(
                outcome.end == .exited(74) && outcome.output == "" && outcome.errorLines.count == 1)
        }
    }
}
