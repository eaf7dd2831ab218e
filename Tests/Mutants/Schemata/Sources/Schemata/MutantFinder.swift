import SwiftOperators
import SwiftParser
import SwiftSyntax

/// Finds the mutants of one file, statement by statement.
final class MutantFinder: SyntaxVisitor {
    private(set) var mutants: [Mutant] = []
    private(set) var skips: [Skip] = []
    private(set) var rewrites: [Rewrite] = []
    private let file: String
    private let source: [UInt8]
    private let converter: SourceLocationConverter
    private let first: Int32
    /// The functions and variables around, the innermost last.
    private var names: [String] = []
    private var counts: [String: Int] = [:]

    /// - Parameter first: the number of the file's first mutant.
    init(_ file: String, _ text: String, first: Int32) {
        self.file = file
        self.first = first
        source = Array(text.utf8)
        let tree = OperatorTable.standardOperators.foldAll(Parser.parse(source: text)) { _ in }
        converter = SourceLocationConverter(fileName: file, tree: tree)
        super.init(viewMode: .sourceAccurate)
        walk(tree)
    }

    // MARK: Statements

    override func visit(_ item: CodeBlockItemSyntax) -> SyntaxVisitorContinueKind {
        let node: Syntax
        switch item.item {
        case .expr(let expression):
            guard !expression.is(IfExprSyntax.self), !expression.is(SwitchExprSyntax.self) else {
                return .visitChildren
            }
            node = Syntax(expression)
        case .stmt(let statement):
            guard
                statement.is(ReturnStmtSyntax.self) || statement.is(ThrowStmtSyntax.self)
                    || statement.is(BreakStmtSyntax.self) || statement.is(ContinueStmtSyntax.self)
            else { return .visitChildren }
            node = Syntax(statement)
        case .decl: return .visitChildren
        }
        var turns = TurnFinder.turns(in: node)
        if let reason = item.whyItHasToStay {
            skip(node, .leaveOut, reason)
        } else {
            turns.insert(Turn(range: node.bytes, text: "", operation: .leaveOut), at: 0)
        }
        add(turns, around: node, .branches)
        return .visitChildren
    }

    override func visit(_ binding: PatternBindingSyntax) -> SyntaxVisitorContinueKind {
        if let value = binding.initializer?.value, !value.is(ClosureExprSyntax.self),
            !value.is(IfExprSyntax.self), !value.is(SwitchExprSyntax.self)
        {
            add(TurnFinder.turns(in: value), around: Syntax(value), .branches)
        }
        return .visitChildren
    }

    override func visit(_ node: IfExprSyntax) -> SyntaxVisitorContinueKind {
        guardConditions(node.conditions, .leaveOut)
        let leaves = node.elseBody == nil && node.body.statements.last?.leaves == true
        addConditions(
            node.conditions, held: leaves && node.conditions.count == 1 ? .earlyReturn : nil)
        return .visitChildren
    }

    override func visit(_ node: GuardStmtSyntax) -> SyntaxVisitorContinueKind {
        guardConditions(node.conditions, .earlyReturn)
        addConditions(node.conditions, held: .leaveOut)
        return .visitChildren
    }

    override func visit(_ node: WhileStmtSyntax) -> SyntaxVisitorContinueKind {
        if "\(node.conditions.trimmed)" == "true" {
            skip(Syntax(node), .leaveOut, "control does not come past here")
            return .visitChildren
        }
        guardConditions(node.conditions, .leaveOut)
        addConditions(node.conditions, held: nil)
        return .visitChildren
    }

    override func visit(_ node: RepeatStmtSyntax) -> SyntaxVisitorContinueKind {
        addCondition(node.condition, held: nil)
        return .visitChildren
    }

    override func visit(_ node: ForStmtSyntax) -> SyntaxVisitorContinueKind {
        addValue(node.sequence)
        if let clause = node.whereClause {
            let never = Turn(range: clause.condition.bytes, text: "false", operation: .leaveOut)
            addCondition(clause.condition, held: nil, besides: [never])
        } else {
            insert(
                after: node.sequence, .leaveOut, .insertion(before: " where ", after: ""))
        }
        return .visitChildren
    }

    override func visit(_ node: SwitchExprSyntax) -> SyntaxVisitorContinueKind {
        addValue(node.subject)
        return .visitChildren
    }

    // MARK: Names, and what has no statements

    private func enter(_ name: String) -> SyntaxVisitorContinueKind {
        names.append(name)
        return .visitChildren
    }

    override func visit(_ node: FunctionDeclSyntax) -> SyntaxVisitorContinueKind {
        enter(node.name.text)
    }
    override func visitPost(_ node: FunctionDeclSyntax) { names.removeLast() }
    override func visit(_ node: InitializerDeclSyntax) -> SyntaxVisitorContinueKind {
        enter("init")
    }
    override func visitPost(_ node: InitializerDeclSyntax) { names.removeLast() }
    override func visit(_ node: DeinitializerDeclSyntax) -> SyntaxVisitorContinueKind {
        enter("deinit")
    }
    override func visitPost(_ node: DeinitializerDeclSyntax) { names.removeLast() }
    override func visit(_ node: SubscriptDeclSyntax) -> SyntaxVisitorContinueKind {
        enter("subscript")
    }
    override func visitPost(_ node: SubscriptDeclSyntax) { names.removeLast() }
    override func visit(_ node: VariableDeclSyntax) -> SyntaxVisitorContinueKind {
        let isMember = node.parent?.is(MemberBlockItemSyntax.self) == true
        let pattern = node.bindings.first?.pattern.as(IdentifierPatternSyntax.self)
        return enter(isMember ? pattern?.identifier.text ?? "variables" : names.last ?? "variables")
    }
    override func visitPost(_ node: VariableDeclSyntax) { names.removeLast() }

    /// Raw values have to be literals.
    override func visit(_ node: EnumCaseDeclSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
    override func visit(_ node: FunctionParameterSyntax) -> SyntaxVisitorContinueKind {
        .skipChildren
    }
    override func visit(_ node: AttributeSyntax) -> SyntaxVisitorContinueKind { .skipChildren }
    override func visit(_ node: IfConfigDeclSyntax) -> SyntaxVisitorContinueKind {
        skip(Syntax(node), .leaveOut, "compiled under a condition")
        return .skipChildren
    }

    // MARK: Making mutants

    /// What a conditional statement would do is not done: a condition more, at the beginning.
    private func guardConditions(
        _ conditions: ConditionElementListSyntax, _ operation: MutationOperator
    ) {
        let start = conditions.bytes.lowerBound
        let text = String(decoding: source[conditions.bytes], as: UTF8.self)
        guard let number = note(operation, text, "false", at: start) else { return }
        rewrites.append(
            Rewrite(
                range: start..<start, form: .insertion(before: "", after: ", "),
                changes: [(number, "")]))
    }

    private func insert(
        after node: some SyntaxProtocol, _ operation: MutationOperator, _ form: Rewrite.Form
    ) {
        let end = node.bytes.upperBound
        guard let number = note(operation, "\(node.trimmed)", "none", at: node.bytes.lowerBound)
        else { return }
        rewrites.append(Rewrite(range: end..<end, form: form, changes: [(number, "")]))
    }

    /// - Parameter held: what it is to take a condition for true.
    private func addConditions(
        _ conditions: ConditionElementListSyntax, held: MutationOperator?
    ) {
        for element in conditions {
            switch element.condition {
            case .expression(let condition): addCondition(condition, held: held)
            case .optionalBinding(let binding):
                if let value = binding.initializer?.value { addValue(value) }
            case .matchingPattern(let pattern): addValue(pattern.initializer.value)
            case .availability: break
            }
        }
    }

    private func addCondition(
        _ condition: ExprSyntax, held: MutationOperator?, besides others: [Turn] = []
    ) {
        let range = condition.bytes
        var turns = others
        turns.append(
            Turn(range: range, text: "!(\(condition.trimmed))", operation: .negate))
        if let held { turns.append(Turn(range: range, text: "true", operation: held)) }
        // The condition's own `!` left out is the condition negated, and so is the contrary of `==`.
        turns += TurnFinder.turns(in: condition).filter {
            !($0.operation == .negate && $0.range.lowerBound == range.lowerBound)
                && !(condition.isEquality && $0.operation == .compare)
        }
        add(turns, around: Syntax(condition), .condition)
    }

    private func addValue(_ value: ExprSyntax) {
        add(TurnFinder.turns(in: value), around: Syntax(value), .value)
    }

    private func add(_ turns: [Turn], around node: Syntax, _ form: Rewrite.Form) {
        guard !turns.isEmpty else { return }
        if case .branches = form {
        } else if node.throwsErrors {
            for turn in turns { skip(node, turn.operation, "throws within a condition") }
            return
        }
        let range = node.bytes
        let changes: [(Int32, String)] = turns.compactMap { turn in
            let original = String(decoding: source[turn.range], as: UTF8.self)
            guard
                let number = note(
                    turn.operation, original, turn.text, at: turn.range.lowerBound,
                    isForModels: turn.isForModels)
            else { return nil }
            let before = source[range.lowerBound..<turn.range.lowerBound]
            let after = source[turn.range.upperBound..<range.upperBound]
            return (number, String(decoding: before + Array(turn.text.utf8) + after, as: UTF8.self))
        }
        rewrites.append(Rewrite(range: range, form: form, changes: changes))
    }

    /// Writes a mutant down; returns its number if it is to be built.
    private func note(
        _ operation: MutationOperator, _ original: String, _ changed: String, at offset: Int,
        isForModels: Bool = false
    ) -> Int32? {
        let stem = file.split(separator: "/").last!.dropLast(".swift".count)
        let place = "\(stem).\(names.last ?? "file").\(operation.rawValue)"
        counts[place, default: 0] += 1
        let number = first + Int32(mutants.count)
        mutants.append(
            Mutant(
                number: number, name: "\(place).\(counts[place]!)", file: file,
                line: converter.location(for: AbsolutePosition(utf8Offset: offset)).line,
                operation: operation, original: original, changed: changed,
                isForModels: isForModels))
        return isForModels ? nil : number
    }

    private func skip(_ node: Syntax, _ operation: MutationOperator, _ reason: String) {
        let position = node.positionAfterSkippingLeadingTrivia
        skips.append(
            Skip(
                file: file, line: converter.location(for: position).line, operation: operation,
                reason: reason))
    }
}

extension ExprSyntax {
    fileprivate var isEquality: Bool {
        let token = self.as(InfixOperatorExprSyntax.self)?.operator
            .as(BinaryOperatorExprSyntax.self)?.operator.text
        return ["==", "!=", "===", "!=="].contains(token)
    }
}

extension Syntax {
    /// Whether a part of it may throw, outside closures: then it can be no argument that is evaluated later.
    fileprivate var throwsErrors: Bool {
        if self.is(TryExprSyntax.self) { return true }
        return !self.is(ClosureExprSyntax.self)
            && children(viewMode: .sourceAccurate).contains(where: \.throwsErrors)
    }
}
