/// A figure's drawing as a part of a page.
struct Picture {
    let figure: Figure
    /// What gnuplot(1) drew: a document of its own, in which identifiers are the same as in every other.
    let svg: String

    /// `number` tells pictures of one page apart.
    func markup(number: Int) -> Markup {
        var drawing = svg[(svg.firstRange(of: "<svg")?.upperBound ?? svg.startIndex)...]
            // Tooltips that show commands of gnuplot.
            .replacing(/<(title|desc)>[^<]*<\/(title|desc)>/, with: "")
        for reference in [" id=\"", " id='", "href='#", "url(#"] {
            drawing = drawing.replacing(reference, with: "\(reference)p\(number)-")
        }
        return """
            <figure>
            <div class="wide" tabindex="0">
            <svg role="img" aria-label="\(figure.title). \(figure.caption)"\(Markup(trusting: String(drawing)))
            </div>
            </figure>
            """
    }
}
