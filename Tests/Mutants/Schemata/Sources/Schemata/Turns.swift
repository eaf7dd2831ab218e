import SwiftSyntax

/// A change of an expression: what stands at some bytes of the source instead.
struct Turn {
    let range: Range<Int>
    let text: String
    let operation: MutationOperator
    var isForModels = false
}

/// Finds the changes of an expression, or of a statement without blocks. What closures and branches have inside are
/// statements of their own.
final class TurnFinder: SyntaxVisitor {
    private(set) var turns: [Turn] = []

    static func turns(in node: some SyntaxProtocol) -> [Turn] {
        let finder = TurnFinder(viewMode: .sourceAccurate)
        finder.walk(node)
        return finder.turns
    }

    private func add(
        _ node: some SyntaxProtocol, _ text: String, _ operation: MutationOperator,
        isForModels: Bool = false
    ) {
        turns.append(
            Turn(range: node.bytes, text: text, operation: operation, isForModels: isForModels))
    }

    private static let comparisons = [
        "==": "!=", "!=": "==", "===": "!==", "!==": "===",
        "<": "<=", "<=": "<", ">": ">=", ">=": ">",
    ]
    private static let computations = [
        "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&+": "&-", "&-": "&+", "&*": "/",
        "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "|", "&&": "||", "||": "&&",
        "+=": "-=", "-=": "+=", "*=": "/=", "&+=": "&-=", "&-=": "&+=",
        "<<=": ">>=", ">>=": "<<=", "&=": "|=", "|=": "&=", "^=": "|=",
    ]

    override func visit(_ node: InfixOperatorExprSyntax) -> SyntaxVisitorContinueKind {
        guard let token = node.operator.as(BinaryOperatorExprSyntax.self)?.operator else {
            return .visitChildren
        }
        if let turned = Self.comparisons[token.text] {
            add(token, turned, .compare)
        } else if let turned = Self.computations[token.text], !node.isText {
            add(token, turned, .arithmetic)
        }
        return .visitChildren
    }

    override func visit(_ node: PrefixOperatorExprSyntax) -> SyntaxVisitorContinueKind {
        switch node.operator.text {
        case "!": add(node.operator, "", .negate)
        case "~", "-": add(node.operator, "", .arithmetic)
        default: break
        }
        return .visitChildren
    }

    override func visit(_ node: TernaryExprSyntax) -> SyntaxVisitorContinueKind {
        add(node.condition, "!(\(node.condition.trimmed))", .negate)
        return .visitChildren
    }

    override func visit(_ node: IntegerLiteralExprSyntax) -> SyntaxVisitorContinueKind {
        let text = node.literal.text
        let value = UInt64(text.filter { $0 != "_" })
        add(node, value.map { "\($0 + 1)" } ?? "(\(text) - 1)", .constant)
        return .skipChildren
    }

    override func visit(_ node: BooleanLiteralExprSyntax) -> SyntaxVisitorContinueKind {
        add(node, node.literal.text == "true" ? "false" : "true", .constant)
        return .skipChildren
    }

    override func visit(_ node: LabeledExprSyntax) -> SyntaxVisitorContinueKind {
        guard node.label?.text.lowercased().hasSuffix("ordering") == true,
            let order = node.expression.as(MemberAccessExprSyntax.self), order.base == nil
        else { return .visitChildren }
        let name = order.declName.baseName
        let call = node.parent?.parent?.as(FunctionCallExprSyntax.self)?
            .calledExpression.as(MemberAccessExprSyntax.self)?.declName.baseName.text
        switch (name.text, call) {
        // An exchange becomes a plain store: the one difference that the processor sees.
        case ("sequentiallyConsistent", "store"): add(name, "releasing", .ordering)
        case ("sequentiallyConsistent", "load"):
            add(name, "acquiring", .ordering, isForModels: true)
        case ("sequentiallyConsistent", _):
            add(name, "acquiringAndReleasing", .ordering, isForModels: true)
        case ("relaxed", _): break
        default: add(name, "relaxed", .ordering, isForModels: true)
        }
        return .skipChildren
    }

    override func visit(_ node: ClosureExprSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
    override func visit(_ node: CodeBlockSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
    override func visit(_ node: IfExprSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
    override func visit(_ node: SwitchExprSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
    override func visit(_ node: StringLiteralExprSyntax) -> SyntaxVisitorContinueKind {
        .skipChildren
    }
    override func visit(_ node: TypeAnnotationSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
}

extension SyntaxProtocol {
    /// Where it stands in its file, without the space around it.
    var bytes: Range<Int> {
        positionAfterSkippingLeadingTrivia.utf8Offset..<endPositionBeforeTrailingTrivia.utf8Offset
    }
}

extension InfixOperatorExprSyntax {
    /// Whether it joins strings.
    fileprivate var isText: Bool {
        [leftOperand, rightOperand].contains {
            $0.is(StringLiteralExprSyntax.self)
                || $0.as(InfixOperatorExprSyntax.self)?.isText == true
        }
    }
}
