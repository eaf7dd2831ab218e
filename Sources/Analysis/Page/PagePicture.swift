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
