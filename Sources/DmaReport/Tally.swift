/// How often each of several things happened, in the order in which they first did.
package struct Tally: Sendable {
    package private(set) var entries: [(text: String, count: Int)] = []
    private var places: [String: Int] = [:]

    package init(_ texts: some Sequence<String> = []) {
        for text in texts { add(text) }
    }

    package mutating func add(_ text: String) {
        if let place = places[text] {
            entries[place].count += 1
        } else {
            places[text] = entries.count
            entries.append((text, 1))
        }
    }

    /// Each with its count, `unit` being the singular.
    package func lines(_ unit: String) -> [String] {
        entries.map { text, count in "\(text) (\(count) \(unit)\(count == 1 ? "" : "s"))" }
    }
}
