import Guest
import GuestMemory

// What modules below say of a refusal are facts; which option would help is known here.

extension MemoryMapError {
    var advised: String {
        switch self {
        case .tooLarge: "\(self); choose a smaller --size or fewer --devices"
        case .tooSmall: "--guest-memory is too small: \(self)"
        case .tooNarrow: "--spread is too small: \(self)"
        case .tooManyRanges: "\(self); choose fewer --ranges or a smaller --size"
        case .tooManyPieces: "\(self); choose a larger --pool"
        }
    }
}

extension BackingUnavailable {
    var advised: String {
        switch remedy {
        case .command: description
        case .less: "\(self); choose a smaller --size"
        case .otherBacking: "\(self); choose another --backing"
        case .lessOrOtherBacking: "\(self); choose a smaller --size or another --backing"
        }
    }
}

extension PrefaultFailure {
    var advised: String {
        guard case .noMemory = self else { return description }
        return
            "\(self); choose a smaller --size or another --memory-node, or reserve more huge pages"
    }
}
