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

    /// Nothing is fetched from anywhere, and no script runs but the page's own.
    private static let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-\(Style.scriptHash)'"
}
