import Testing

@testable import Analysis

/// How strategies are told apart, those that nobody has heard of too.
@Suite struct LookTests {
    private static let places = 0..<6
    private let looks = StrategyLooks(
        places.map { ("tree-\($0)", .blue, $0) } + places.map { ("list-\($0)", .purple, $0) })

    @Test func aFamilyHasOneColourAndNoTwoLookAlike() {
        let family = Self.places.map { looks.look(of: "tree-\($0)", sound: true) }
        #expect(family.allSatisfy { $0.colour == .blue && !$0.isHollow && $0.dash != .dotted })
        for (place, look) in family.enumerated() {
            #expect(!family.prefix(place).contains(look), "\(place)")
            #expect(look != looks.look(of: "list-\(place)", sound: true))
            #expect(look == looks.look(of: "tree-\(place)", sound: true))
        }
    }

    @Test func whatMayNotBeTrustedIsHollowAndDotted() {
        for name in ["tree-0", "list-3", "unheard-of"] {
            let look = looks.look(of: name, sound: false)
            #expect(look.isHollow && look.dash == .dotted)
            #expect(look.shape == looks.look(of: name, sound: true).shape)
        }
    }

    /// A file may have them from a later version, or from a version that has gone.
    @Test func strangersAreGreyAndHaveAShape() {
        let stranger = looks.look(of: "unheard-of", sound: true)
        #expect(stranger.colour == .grey && stranger.shape != nil)
        #expect(stranger == looks.look(of: "unheard-of", sound: true))
        #expect(looks.look(of: "", sound: true).shape != nil)
    }

    /// Rows of both draw one figure.
    @Test func figuresTakeLooksAsTheyAreGiven() throws {
        let looks = StrategyLooks([("perpage", .vermilion, 0)])
        let figure = try #require(
            Figures(of: sweep, sources: ["f"], looks: looks).drawn.first {
                $0.name == "cost-by-size"
            })
        #expect(figure.series("perpage")?.look.colour == .vermilion)
        #expect(figure.series("none (unsafe)")?.look.colour == .grey)
    }
}
