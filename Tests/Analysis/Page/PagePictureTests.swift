import DmaReport
import Foundation
import Testing

@testable import Analysis

@Suite struct PagePictureTests {
    private let figure = Figures(of: usualRows, sources: ["rows.csv"], looks: StrategyLooks([]))
        .drawn[0]

    @Test func identifiersAreUnlikeInEveryPicture() throws {
        let svg = """
            <?xml version="1.0"?><svg width="9" xmlns="http://www.w3.org/2000/svg"><g id="a" fill="#fff"><path id='b'/>
            <use href='#b'/><g filter='url(#c)'/></g></svg>
            """
        let pictures = [1, 2].map {
            PagePicture(figure: figure, svg: svg).markup(number: $0).source
        }
        let parsed = try WellFormed("<div>" + pictures.joined() + "</div>")
        let ids = parsed.elements.compactMap { $0.attributes["id"] }
        #expect(ids == ["p1-a", "p1-b", "p2-a", "p2-b"])
        #expect(parsed.elements.compactMap { $0.attributes["href"] } == ["#p1-b", "#p2-b"])
        #expect(
            parsed.elements.compactMap { $0.attributes["filter"] } == ["url(#p1-c)", "url(#p2-c)"])
        #expect(parsed.elements.compactMap { $0.attributes["fill"] } == ["#fff", "#fff"])
        #expect(!pictures[0].contains("<?xml"))
    }

    @Test(.enabled(if: Self.hasGnuplot, "no gnuplot here; scripts/setup test installs it"))
    func thePageWithItsPicturesIsWhole() throws {
        let hostile = usualRows.map { row in
            row.with { $0.strategy += "</text></svg><script>alert(1)</script>&\"'" }
        }
        for rows in [usualRows, hostile] {
            let parsed = try WellFormed(page(rows, drawn: true))
            #expect(parsed.count("svg") > 1 && parsed.count("figure") == parsed.count("svg"))
            #expect(parsed.count("script") == 1)
            let ids = parsed.elements.compactMap { $0.attributes["id"] }
            #expect(Set(ids).count == ids.count)
            let pictures = parsed.elements.filter { $0.name == "svg" }
            #expect(pictures.allSatisfy { $0.attributes["role"] == "img" })
            #expect(pictures.allSatisfy { $0.attributes["aria-label"]?.isEmpty == false })
            for reference in parsed.elements.compactMap({ $0.attributes["xlink:href"] }) {
                #expect(reference.hasPrefix("#") && ids.contains(String(reference.dropFirst())))
            }
        }
        #expect(try page(usualRows).contains("Without pictures"))
    }

    private static let hasGnuplot = FileManager.default.isExecutableFile(
        atPath: "/usr/bin/gnuplot")
}
