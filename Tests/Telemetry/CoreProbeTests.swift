import Testing

@testable import Telemetry

@Suite struct CoreProbeTests {
    /// Alone or not, no core does fewer than a third of an add a cycle or, so far, more than eight; a probe that both
    /// its chains' tries were interrupted in may say anything, so most of many count.
    @Test(.enabled(if: CoreProbe.isAvailable, "no probe for this processor"))
    func addsACycle() throws {
        let clock = TickClock.calibrated()
        var log = CoreProbeLog()
        for _ in 0..<1000 { log.record(CoreProbe.addsPerCycle(clock)) }
        #expect(log.count == 1000)
        let plausible = try #require(log.share(below: 8)) - (try #require(log.share(below: 0.3)))
        #expect(plausible > 0.5)
    }
}

@Suite struct CoreProbeLogTests {
    private func log(_ ratios: [(Double, Int)]) -> CoreProbeLog {
        var log = CoreProbeLog()
        for (ratio, count) in ratios {
            for _ in 0..<count { log.record(ratio) }
        }
        return log
    }

    @Test func nothingIsKnownFromNothing() {
        let empty = CoreProbeLog()
        #expect(empty.count == 0)
        #expect(empty.best == nil)
        #expect(empty.share(below: 8) == nil)
    }

    @Test func aBrokenProbeIsNotTheBest() {
        #expect(log([(4, 1)]).best == nil)
        #expect(log([(4, 1), (2, 1)]).best == 2 + 1.0 / 32)
        #expect(log([(7, 1), (4, 2)]).best == 4 + 1.0 / 32)
        #expect(log([(7, 9), (4, 1000)]).best == 4 + 1.0 / 32)
        // Once in a hundred is no accident any more.
        #expect(log([(4, 11), (2, 1000)]).best == 4 + 1.0 / 32)
        #expect(log([(4, 9), (2, 1000)]).best == 2 + 1.0 / 32)
    }

    @Test func theShareBelow() {
        let log = log([(4, 60), (3.9, 15), (2, 25)])
        #expect(log.best == 4 + 1.0 / 32)
        #expect(log.share(below: CoreProbeLog.sharedBelow * (log.best ?? 0)) == 0.25)
        #expect(log.share(below: 3.95) == 0.4)
        #expect(log.share(below: 0) == 0)
        #expect(log.share(below: 8) == 1)
    }

    @Test func whatIsNoRatioIsLeftOut() {
        let log = log([(0, 5), (-1, 5), (.nan, 5), (.infinity, 5), (1e300, 2), (1e-300, 1)])
        #expect(log.count == 3)
        #expect(log.best == 8 - 1.0 / 32)
        #expect(log.share(below: 1) == 1.0 / 3)
    }

    @Test func logsAddUp() {
        var log = log([(4, 3)])
        log.add(self.log([(2, 1), (4, 1)]))
        #expect(log.count == 5)
        #expect(log.share(below: 3) == 0.2)
        #expect(log.best == 4 + 1.0 / 32)
    }

    @Test func itTravelsAsBytesAndZerosAreEmpty() {
        let log = log([(4, 3), (2, 1)])
        let bytes = withUnsafeBytes(of: log) { Array($0) }
        let other = bytes.withUnsafeBytes { $0.loadUnaligned(as: CoreProbeLog.self) }
        #expect(other.count == 4)
        #expect(other.best == log.best)
        let zeros = [UInt8](repeating: 0, count: MemoryLayout<CoreProbeLog>.size)
        let empty = zeros.withUnsafeBytes { $0.loadUnaligned(as: CoreProbeLog.self) }
        #expect(empty.count == 0 && empty.best == nil)
    }
}
