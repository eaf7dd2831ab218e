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

    /// All pictures of a page, and what has none; nil of a page that was asked for without.
    static func section(_ pictures: [PagePicture]?, omitted: [String]) -> Markup {
        guard let pictures else {
            return "<p class=\"dim\">Without pictures (--no-pictures).</p>"
        }
        let reasons = omitted.map { "<li>\($0)</li>" as Markup }
        let notes: Markup =
            reasons.isEmpty
            ? "" : "<p class=\"dim\">Not drawn:</p><ul class=\"dim\">\(reasons.joined())</ul>"
        return """
            <section>
            <h2>Pictures</h2>
            \(pictures.enumerated().map { $1.markup(number: $0) }.joined())
            \(notes)
            </section>
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
