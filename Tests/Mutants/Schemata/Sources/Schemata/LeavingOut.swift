import SwiftSyntax

// Which statements can be left out of a program that then still compiles.

extension CodeBlockItemSyntax {
    /// Nil where it can be left out.
    var whyItHasToStay: String? {
        switch item {
        case .stmt:
            guard isEndOfIf else { return "control has to leave here" }
            return parent?.as(CodeBlockItemListSyntax.self)?.count == 1
                ? "the same as its `if` left out" : nil
        case .expr(let expression):
            if isValue { return "the value of a function, closure or branch" }
            switch expression.callee {
            case "fatalError", "preconditionFailure": return "control has to leave here"
            case "self.init", "super.init": return "may be what initialises a variable"
            default: break
            }
            if expression.assigned.contains(where: isFirstAssignment) {
                return "may be what initialises a variable"
            }
            return nil
        case .decl: return "a declaration"
        }
    }

    /// Whether it leaves the block that it stands in.
    var leaves: Bool {
        guard case .stmt(let statement) = item else { return false }
        return statement.is(ReturnStmtSyntax.self) || statement.is(ThrowStmtSyntax.self)
            || statement.is(BreakStmtSyntax.self) || statement.is(ContinueStmtSyntax.self)
    }

    /// Whether control may go on behind it as if its block had not been entered: that of an `if` without `else`.
    private var isEndOfIf: Bool {
        guard let block = parent?.parent?.as(CodeBlockSyntax.self),
            let conditional = block.parent?.as(IfExprSyntax.self)
        else { return false }
        return conditional.elseBody == nil && conditional.body.id == block.id
    }

    /// Whether it is alone in a block that gives a value.
    private var isValue: Bool {
        guard let list = parent?.as(CodeBlockItemListSyntax.self), list.count == 1,
            let holder = list.parent
        else { return false }
        if let closure = holder.as(ClosureExprSyntax.self) {
            return closure.signature?.returnClause.map { "\($0.type.trimmed)" } != "Void"
        }
        if holder.is(AccessorBlockSyntax.self) { return true }
        if let branch = holder.as(SwitchCaseSyntax.self) {
            return branch.parent?.parent?.as(SwitchExprSyntax.self).map { isValue(Syntax($0)) }
                ?? false
        }
        guard let owner = holder.as(CodeBlockSyntax.self)?.parent else { return false }
        if let function = owner.as(FunctionDeclSyntax.self) {
            return function.signature.returnClause != nil
        }
        if let accessor = owner.as(AccessorDeclSyntax.self) {
            return accessor.accessorSpecifier.text == "get"
        }
        return owner.is(IfExprSyntax.self) && isValue(owner)
    }

    /// Whether an `if` or `switch` is a value, not a statement.
    private func isValue(_ branching: Syntax) -> Bool {
        guard let parent = branching.parent else { return false }
        if parent.is(IfExprSyntax.self) { return isValue(parent) }
        guard let item = parent.is(ExpressionStmtSyntax.self) ? parent.parent : parent,
            let item = item.as(CodeBlockItemSyntax.self)
        else { return true }
        return item.isValue
    }

    /// In an initialiser, or of a variable that is declared without a value: nobody knows here whether it has one.
    private func isFirstAssignment(of variable: ExprSyntax) -> Bool {
        let name = variable.as(DeclReferenceExprSyntax.self)?.baseName.text
        let member = variable.as(MemberAccessExprSyntax.self)
        guard name != nil || member?.base.map({ "\($0.trimmed)" }) == "self" else { return false }
        var node = Syntax(self)
        while let parent = node.parent {
            if parent.is(InitializerDeclSyntax.self) { return true }
            for case .decl(let declaration) in parent.as(CodeBlockItemListSyntax.self)?.map(\.item)
                ?? []
            {
                for binding in declaration.as(VariableDeclSyntax.self)?.bindings ?? []
                where "\(binding.pattern.trimmed)" == name {
                    return binding.initializer == nil
                        && binding.typeAnnotation?.type.is(OptionalTypeSyntax.self) != true
                }
            }
            if parent.is(FunctionDeclSyntax.self) { return false }
            node = parent
        }
        return false
    }
}

extension ExprSyntax {
    /// What it calls, behind `try`.
    fileprivate var callee: String? {
        let call = self.as(TryExprSyntax.self)?.expression ?? self
        return call.as(FunctionCallExprSyntax.self).map { "\($0.calledExpression.trimmed)" }
    }

    /// What stands before the `=` of an assignment, each part of a tuple by itself.
    fileprivate var assigned: [ExprSyntax] {
        guard let infix = self.as(InfixOperatorExprSyntax.self),
            infix.operator.is(AssignmentExprSyntax.self)
        else { return [] }
        return infix.leftOperand.as(TupleExprSyntax.self)?.elements.map(\.expression)
            ?? [infix.leftOperand]
    }
}
