import Testing

@testable import Schemata

/// The mutants of small sources, and the text that has them all.
struct SchemataTests {
    private func schemata(_ text: String) -> Schemata {
        var schemata = Schemata()
        schemata.add("Sources/Toy.swift", text)
        return schemata
    }

    /// Operator, what stood there, what stands there now.
    private func mutants(_ text: String) -> [String] {
        schemata(text).mutants.map { "\($0.operation.rawValue): \($0.original) -> \($0.changed)" }
    }

    private func rewritten(_ text: String, without left: Set<String> = []) -> String {
        schemata(text).texts(without: left)[0].text
            .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    // MARK: What is found

    @Test func statementsAreLeftOut() {
        #expect(mutants("func f() { g(); h() }") == ["leave-out: g() -> ", "leave-out: h() -> "])
    }

    @Test func whatHasToStayIsCounted() {
        let values = schemata("func f() -> Int { g() }; var v: Int { g() }; let c = { g() }")
        #expect(values.mutants.isEmpty)
        #expect(values.skips.map(\.reason).count == 3)
        #expect(mutants("struct S { let v: Int; init(_ w: Int) { v = w } }").isEmpty)
        #expect(mutants("func f() { let v: Int; v = g() }").isEmpty)
        #expect(mutants("func f() { let v: Int, w: Int; (v, w) = g() }").isEmpty)
        #expect(mutants("struct S { let v: Int; init() { let v = g(); self.v = v } }").isEmpty)
        #expect(mutants("func f() -> Int { while true { } }").isEmpty)
        #expect(mutants("func f() { var v: Int?; v = g() }") == ["leave-out: v = g() -> "])
        #expect(
            mutants("func f() { while true { return } }").contains { $0.hasSuffix("return -> ") }
                == false)
    }

    @Test func comparisonsAndArithmeticAreTurned() {
        #expect(mutants("func f(a: Int, b: Int) -> Bool { a < b }") == ["compare: < -> <="])
        #expect(
            mutants("func f(a: Int, b: Int) -> Int { a + b &* a }") == [
                "arithmetic: + -> -", "arithmetic: &* -> /",
            ])
        #expect(mutants("func f(a: String) -> String { \"x\" + a + a }").isEmpty)
        #expect(mutants("func f(a: Int) -> Int { ~a }") == ["arithmetic: ~ -> "])
    }

    @Test func constantsAreMovedByOne() {
        #expect(mutants("let a = 1_000") == ["constant: 1_000 -> 1001"])
        #expect(mutants("let a = 0xff") == ["constant: 0xff -> (0xff - 1)"])
        #expect(mutants("func f() -> Bool { true }") == ["constant: true -> false"])
        #expect(mutants("enum E: Int { case a = 1 }").isEmpty)
    }

    @Test func conditionsAreNegatedAndDecided() {
        #expect(
            mutants("func f() { if a { g() } }") == [
                "leave-out: a -> false", "negate: a -> !(a)", "leave-out: g() -> ",
            ])
        #expect(
            mutants("func f() { guard a else { return } }") == [
                "early-return: a -> false", "negate: a -> !(a)", "leave-out: a -> true",
            ])
        #expect(
            mutants("func f() { if a { return }; g() }") == [
                "leave-out: a -> false", "negate: a -> !(a)", "early-return: a -> true",
                "leave-out: g() -> ",
            ])
        #expect(mutants("func f() { guard let a = g() else { return } }").count == 1)
        #expect(mutants("func f() -> Int { a ? b : c }") == ["negate: a -> !(a)"])
        #expect(mutants("func f() { for a in b { g() } }").first == "leave-out: b -> none")
    }

    @Test func orderingsAreWeakened() throws {
        let stores = schemata("func f() { w.store(v, ordering: .sequentiallyConsistent) }").mutants
        #expect(stores.map(\.changed) == ["", "releasing"])
        #expect(stores.allSatisfy { !$0.isForModels })
        let load = try #require(
            schemata("func f() -> Int { w.load(ordering: .acquiring) }").mutants.first)
        #expect(load.changed == "relaxed")
        #expect(load.isForModels)
        #expect(mutants("func f() -> Int { w.load(ordering: .relaxed) }").isEmpty)
    }

    @Test func namesStayTheSameWhenOtherDeclarationsChange() {
        let short = schemata("func f() { g() }").mutants
        let long = schemata("func e() { g(); g() }\nfunc f() { g() }").mutants
        #expect(short.map(\.name) == ["Toy.f.leave-out.1"])
        #expect(long.map(\.name).last == "Toy.f.leave-out.1")
        #expect(long.map(\.number) == [1, 2, 3])
    }

    // MARK: What is written

    @Test func statementsBecomeBranches() {
        #expect(
            rewritten("func f() { g(a + 1) }")
                == "import Mutant; func f() { if mutant(1) { /*1*/ } else if mutant(2) { /*2*/ g(a - 1) } "
                + "else if mutant(3) { /*3*/ g(a + 2) } else { /*0*/ g(a + 1) } }")
    }

    @Test func closuresInsideStatementsHaveTheirOwn() {
        let text = rewritten("func f() { g { h(); i() } }")
        #expect(text.contains("/*0*/ g { if mutant(2) { /*2*/ } else { /*0*/ h() }"))
    }

    @Test func conditionsBecomeCalls() {
        #expect(
            rewritten("func f() { if a { } }")
                == "import Mutant; func f() { if !mutant(1), mutantCondition(2, a, /*2*/ !(a) ) { } }"
        )
    }

    @Test func loopsGetAClause() {
        #expect(
            rewritten("func f() { for a in 0..<n { } }").contains(
                "for a in mutantValue(1, 0..<n, /*1*/ 1..<n ) where !mutant(2) { }"))
    }

    @Test func whatIsLeftOutStaysAsItWas() {
        #expect(
            rewritten("func f() { g() }", without: ["Toy.f.leave-out.1"])
                == "import Mutant; func f() { g() }")
    }

    @Test func whatOnlyModelsTellApartIsNotWritten() {
        let text = "func f() -> Int { w.load(ordering: .acquiring) }"
        #expect(rewritten(text) == "import Mutant; " + text)
    }
}
