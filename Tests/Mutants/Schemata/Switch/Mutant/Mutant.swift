import CMutant

/// Whether this process is that mutant.
@inlinable @inline(__always)
public func mutant(_ number: Int32) -> Bool { cmutant_is(number) }

/// One of two conditions. Not generic: the compiler infers the types of each by itself.
@inlinable @inline(__always)
public func mutantCondition(
    _ number: Int32, _ original: @autoclosure () -> Bool, _ changed: @autoclosure () -> Bool
) -> Bool {
    mutant(number) ? changed() : original()
}

/// One of two values.
@inlinable @inline(__always)
public func mutantValue<Value>(
    _ number: Int32, _ original: @autoclosure () -> Value, _ changed: @autoclosure () -> Value
) -> Value {
    mutant(number) ? changed() : original()
}
