import Foundation
import FoundationXML

/// A page as an XML parser sees it, which takes nothing that is not well-formed.
final class WellFormed: NSObject, XMLParserDelegate {
    struct Element {
        let name: String
        let attributes: [String: String]
    }

    private(set) var elements: [Element] = []
    /// All text that is neither style nor script.
    private(set) var text = ""
    private var open: [String] = []
    private var problem: String?

    /// Throws what is wrong, with its line.
    init(_ page: String) throws {
        super.init()
        let parser = XMLParser(data: Data(page.utf8))
        parser.delegate = self
        // The parser goes on after some errors, and says at the end that all was well.
        guard parser.parse(), problem == nil, open.isEmpty else {
            struct Malformed: Error { let problem: String }
            throw Malformed(problem: problem ?? "open at the end: \(open)")
        }
    }

    func parser(_ parser: XMLParser, parseErrorOccurred error: any Error) {
        problem = problem ?? "line \(parser.lineNumber): \(error)"
    }

    func count(_ name: String) -> Int { elements.count { $0.name == name } }

    func parser(
        _: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        elements.append(Element(name: name, attributes: attributes))
        open.append(name)
    }

    func parser(
        _: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
    ) { open.removeLast() }

    func parser(_: XMLParser, foundCharacters characters: String) {
        if open.last != "style", open.last != "script" { text += characters }
    }
}
