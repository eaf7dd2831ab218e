import DmaReport

/// What machines are compared by: the cost of a lock, in one of two places.
enum ComparedCost: CaseIterable, Sendable {
    /// In the DMA, beside its write.
    case inPlace
    /// In a loop without a write.
    case hot

    var metric: Metric {
        let name =
            switch self {
            case .inPlace: "sync_share"
            case .hot: "pair_hot_ns"
            }
        return Metric.all.first { $0.name == name }!
    }

    /// What the metric says of a row; a share of no write is no share.
    func value(_ row: Row) -> Double? {
        switch self {
        case .inPlace: row.writtenSyncShare
        case .hot: metric.value(row)
        }
    }

    /// Over a table.
    var title: String {
        switch self {
        case .inPlace: "Pin and unpin as a share of the DMA"
        case .hot: "A pin and unpin in a loop without a write"
        }
    }

    /// Over a column.
    var short: String {
        switch self {
        case .inPlace: "sync share"
        case .hot: "hot pair"
        }
    }

    /// In a sentence, as its subject.
    var subject: String {
        switch self {
        case .inPlace: "the share of the DMA that locking takes"
        case .hot: "a pin and unpin in a loop without a write"
        }
    }
}
