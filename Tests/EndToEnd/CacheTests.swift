import Testing

extension EndToEnd {
    /// What becomes of pins that are kept between requests, from the device to the row.
    @Suite struct CacheTests {
        private static let counters = [
            "cache_hits", "cache_misses", "cache_merges", "cache_invalidations", "cache_evictions",
        ]

        private func rows(_ arguments: String...) throws -> [ResultRow] {
            let brief = ["--size", "64K", "--ranges", "2", "--rounds", "1", "--ops", "100"]
            let outcome = try Run(brief + arguments).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            for row in rows { expectGood(row) }
            return rows
        }

        /// Of two ranges one fits: each request finds what it used last and evicts it for the other, once per device.
        @Test func aLimitEvictsTheLeastRecentlyUsed() throws {
            let row = try #require(
                rows("--strategy", "pincache", "--cache", "32K", "--devices", "2").first)
            #expect(row["cache_bytes"] == "32768")
            let evictions = try row.count("cache_evictions")
            #expect(try evictions >= row.count("ops"))
            #expect(try row.count("cache_hits") == evictions)
            #expect(try row.count("cache_misses") == evictions)
            #expect(row["cache_merges"] == "0" && row["cache_invalidations"] == "0")
        }

        /// The queue and one of the two ranges fit under the cap, so that what is kept makes room for the other.
        @Test func aCapOnPinsEvictsAsWell() throws {
            let row = try #require(
                rows(
                    "--strategy", "pincache", "--chunk", "32K", "--pin-limit", "128K", "--devices",
                    "2"
                ).first)
            #expect(row["pin_limit_bytes"] == "131072" && row["refused"] == "0")
            let evictions = try row.count("cache_evictions")
            #expect(try evictions >= row.count("ops") && row["cache_hits"] == "0")
            // Those of the request before the first one counted.
            #expect(try row.count("cache_misses") == evictions)
        }

        /// The request of the hot loop at set-up is the only one that misses.
        @Test func withoutALimitEverythingHits() throws {
            let row = try #require(rows("--strategy", "pincache").first)
            #expect(row["cache_bytes"] == "65536")
            #expect(try row.count("cache_hits") >= 2 * row.count("ops"))
            for column in Self.counters.dropFirst() { #expect(row[column] == "0", "\(column)") }
        }

        @Test func conversionsInvalidate() throws {
            let row = try #require(
                rows(
                    "--strategy", "pincache", "--policy", "revoke", "--convert-where", "inside",
                    "--convert-rate", "20000", "--ops", "2000"
                ).first)
            #expect(try row.count("cache_invalidations") > 0)
            #expect(try row.count("cache_misses") >= row.count("cache_invalidations"))
            #expect(row["cache_evictions"] == "0" && row["cache_merges"] == "0")
        }

        @Test func cachesAreForPincacheAlone() throws {
            for row in try rows("--strategy", "longlived,pincache", "--cache", "16K") {
                let isCached = row.strategy == "pincache"
                #expect(row["cache_bytes"] == (isCached ? "16384" : ""))
                for column in Self.counters { #expect(row[column].isEmpty == !isCached) }
            }
        }
    }
}
