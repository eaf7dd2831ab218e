/// What every page has around its sections: a head that fetches nothing, and the script that sorts the table.
enum PageFrame {
    static func html(title: String, generator: String, _ sections: [Markup]) -> String {
        let page: Markup = """
            <!DOCTYPE html>
            <html lang="en" xmlns="http://www.w3.org/1999/xhtml">
            <head>
            <meta charset="utf-8" />
            <meta http-equiv="Content-Security-Policy" content="\(policy)" />
            <meta name="viewport" content="width=device-width, initial-scale=1" />
            <meta name="generator" content="\(generator)" />
            <title>\(title)</title>
            <style>
            \(Markup(trusting: Style.sheet))
            </style>
            </head>
            <body>
            <main>
            \(sections.joined())
            </main>
            <script>\(Markup(trusting: Style.script))</script>
            </body>
            </html>

            """
        return page.source
    }

    /// What a reader came for.
    static func answer(_ sentences: [String]) -> Markup {
        """
        <section class="answer" id="answer">
        \(sentences.map { "<p>\($0)</p>" as Markup }.joined())
        </section>
        """
    }

    /// What a reader should know before the figures are believed; nothing where there is nothing.
    static func warnings(_ warnings: [String]) -> Markup {
        guard !warnings.isEmpty else { return "" }
        return """
            <section id="warnings">
            <h2>Read with care</h2>
            <ul>
            \(warnings.map { "<li>\($0)</li>" as Markup }.joined())
            </ul>
            </section>
            """
    }

    /// Nothing is fetched from anywhere, and no script runs but the page's own.
    private static let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-\(Style.scriptHash)'"
}
