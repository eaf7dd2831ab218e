import DmaReport

/// The files behind the page, and the machines that wrote them.
struct Provenance {
    let sources: [ReportSource]

    var markup: Markup {
        """
        <div class="wide"><table>
        <thead><tr><th class="text">file</th><th>rows</th><th>runs</th><th class="text">environment</th></tr></thead>
        <tbody>
        \(sources.map(line).joined())
        </tbody>
        </table></div>
        \(sources.map(environment).joined())
        """
    }

    private func line(_ source: ReportSource) -> Markup {
        let rows = source.file.rows
        return """
            <tr><td class="text">\(source.file.path)</td><td>\(Human.grouped(UInt64(rows.count)))</td>\
            <td>\(list(rows.map(\.run)))</td><td class="text"><code>\(list(rows.map(\.env)))</code></td></tr>
            """
    }

    private func list(_ texts: [String]) -> String {
        Tally(texts).entries.map(\.text).joined(separator: ", ")
    }

    private func environment(_ source: ReportSource) -> Markup {
        switch source.environment {
        case .failure(let error): return "<p>Environment not shown: \(error.description).</p>"
        case .success(let text):
            let isOwn = source.file.rows.contains { text.contains($0.env) }
            let doubt: Markup =
                isOwn ? "" : "<p>This environment is not the one that the rows name.</p>"
            return """
                <details open="open"><summary>Environment of \(source.file.path)</summary>
                \(doubt)<pre>\(text)</pre></details>
                """
        }
    }
}
