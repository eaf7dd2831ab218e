/// A figure's drawing as a part of a page.
struct PagePicture {
    let figure: Figure
    /// What gnuplot(1) drew: a document of its own, in which identifiers are the same as in every other.
    let svg: String

    /// `number` tells pictures of one page apart.
    func markup(number: Int) -> Markup {
        let body = svg[(svg.firstRange(of: "<svg")?.upperBound ?? svg.startIndex)...]
        return """
            <figure>
            <div class="wide" tabindex="0">
            <svg role="img" aria-label="\(figure.title). \(figure.caption)"\(Self.part(body, number))
            </div>
            </figure>
            """
    }

    /// The drawing with the number in front of each identifier.
    private static func part(_ drawing: Substring, _ number: Int) -> Markup {
        let starts = [" id=\"", " id='", "href='#", "url(#"].map { Array($0.utf8) }
        let prefix = Array("p\(number)-".utf8)
        var source: [UInt8] = []
        source.reserveCapacity(drawing.utf8.count * 11 / 10)
        for byte in drawing.utf8 {
            source.append(byte)
            guard "\"'#".utf8.contains(byte) else { continue }
            if starts.contains(where: { source.suffix($0.count).elementsEqual($0) }) {
                source += prefix
            }
        }
        return Markup(trusting: String(decoding: source, as: UTF8.self))
    }
}

/// All pictures of a page, and what has none.
struct PagePictures {
    private let drawn: [PagePicture]
    private let omitted: [String]

    /// Has gnuplot(1) draw each figure; `omitted` says what there is no figure of, and why, a line each.
    init(
        _ figures: [Figure], omitted: [String], isInterrupted: () -> Bool
    ) throws(Gnuplot.Failure) {
        var drawn: [PagePicture] = []
        for figure in figures {
            let svg = try Gnuplot.svg(figure, isInterrupted: isInterrupted)
            drawn.append(PagePicture(figure: figure, svg: svg))
        }
        (self.drawn, self.omitted) = (drawn, omitted)
    }

    /// The page's section; nil of a page that was asked for without.
    static func section(_ pictures: PagePictures?) -> Markup {
        guard let pictures else {
            return "<p class=\"dim\">Without pictures (--no-pictures).</p>"
        }
        let reasons = pictures.omitted.map { "<li>\($0)</li>" as Markup }
        let notes: Markup =
            reasons.isEmpty
            ? "" : "<p class=\"dim\">Not drawn:</p><ul class=\"dim\">\(reasons.joined())</ul>"
        return """
            <section>
            <h2>Pictures</h2>
            \(pictures.drawn.enumerated().map { $1.markup(number: $0) }.joined())
            \(notes)
            </section>
            """
    }
}
