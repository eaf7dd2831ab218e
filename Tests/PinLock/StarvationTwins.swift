import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// Opens its range again after each look, and waits with the range open.
struct LetsPinsIn: Twin {
    let original: RangeTree
    let looks = Counter()

    init(arena: Arena) { original = RangeTree(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        original.close(range)
        let found = original.search(range, within: nanoseconds)
        if found != .none { original.open(range) }
        looks.add(1)
        return found
    }
}

/// How often a conversion looks for pins although its deadline has passed.
final class LateLooks: Sendable {
    let deadline = Atomic(UInt64.max)
    let late = Counter()

    func note() {
        if monotonicNanoseconds() > deadline.load(ordering: .acquiring) { late.add(1) }
    }
}

protocol Overtime: PinStrategy {
    var looks: LateLooks { get }
}

/// Not broken: counts such looks.
struct KeepsTime<Original: PinStrategy>: Twin, Overtime {
    let original: Original
    let looks = LateLooks()

    init(arena: Arena) { original = Original(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        looks.note()
        return original.search(range, within: nanoseconds)
    }
}

/// Grants itself another deadline, forty times.
struct RenewsItsDeadline: Twin, Overtime {
    let original: KeepsTime<RangeTree>
    var looks: LateLooks { original.looks }

    init(arena: Arena) { original = KeepsTime(arena: arena) }

    func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath {
        var policy = policy
        for _ in 0..<40 {
            do throws(ConversionRefusal) {
                return try original.convert(range, to: state, policy: policy, hooks: hooks)
            } catch {
                guard case .deadlinePassed = error else { throw error }
                policy = .wait(until: .after(milliseconds: 1))
            }
        }
        return try original.convert(range, to: state, policy: policy, hooks: hooks)
    }
}
