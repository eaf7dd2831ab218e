import Testing

@testable import DmaStatistics

@Suite struct StudentTTests {
    /// Tables of the t distribution, such as that of Student 1908 as Abramowitz and Stegun, table 26.10, have it:
    /// the t beyond which 2.5 % and 0.05 % lie on each side. More digits by scipy 1.17: t.isf.
    @Test(arguments: [
        (1, 12.706204736174705, 636.6192487687196), (2, 4.302652729749464, 31.59905457644362),
        (3, 3.1824463052837086, 12.923978636687481), (3.7, 2.8675207071911903, 9.474240137124372),
        (5, 2.5705818356363155, 6.86882662588111), (10, 2.2281388519862753, 4.586893858702636),
        (30, 2.042272456301238, 3.645958635042021), (120, 1.9799304050824411, 3.3734537685625003),
        (1000, 1.9623390808264085, 3.3002826484239134),
    ])
    func criticalValues(_ degrees: Double, _ five: Double, _ tenth: Double) {
        let distribution = StudentT(degrees: degrees)
        #expect(abs(distribution.critical(0.05) / five - 1) < 1e-11)
        #expect(abs(distribution.critical(0.001) / tenth - 1) < 1e-11)
        #expect(abs(distribution.twoSided(five) - 0.05) < 1e-13)
        #expect(distribution.twoSided(-five) == distribution.twoSided(five))
    }

    /// scipy 1.17: 2 t.sf.
    @Test(arguments: [
        (1, 0.5, 0.7048327646991335), (2, 2, 0.18350341907227397), (3, 12, 0.0012450158007893362),
        (10, 12, 2.921408824769984e-07), (30, 12, 5.580185415199261e-13),
        (120, 12, 2.7847497704371016e-22), (1000, 0.5, 0.6171850808338747),
    ])
    func tails(_ degrees: Double, _ t: Double, _ p: Double) {
        #expect(abs(StudentT(degrees: degrees).twoSided(t) / p - 1) < 1e-11)
    }

    @Test func theEndsAreNoughtAndOne() {
        for degrees in [0.5, 1, 3.3, 1e6] {
            let distribution = StudentT(degrees: degrees)
            #expect(distribution.twoSided(0) == 1)
            #expect(distribution.twoSided(.infinity) == 0)
            #expect(distribution.twoSided(1e200) == 0)
            var last = 1.0
            for t in stride(from: 0.0, through: 50, by: 0.25) {
                let p = distribution.twoSided(t)
                #expect((0...last).contains(p))
                last = p
            }
        }
    }

    /// I_x(a, 1) is x to the a; and the halves of a symmetric one.
    @Test func theBetaFunctionIsTheOneThatHasAFormula() {
        for x in [0.0, 1e-9, 0.1, 0.5, 0.9, 1] {
            for a in [1.0, 2, 7] {
                var power = 1.0
                for _ in 0..<Int(a) { power *= x }
                #expect(abs(regularizedBeta(a, 1, at: x, complement: 1 - x) - power) < 1e-14)
            }
        }
        for a in [0.5, 3, 40] {
            #expect(abs(regularizedBeta(a, a, at: 0.5, complement: 0.5) - 0.5) < 1e-13)
        }
    }
}
