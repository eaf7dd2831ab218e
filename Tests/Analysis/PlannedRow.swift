import DmaReport

/// A row of the plan with nothing measured.
func plannedRow(_ strategy: String, safe: Bool, round: Int, size: UInt64) -> Row {
    var row = Row()
    (row.run, row.round, row.position) = ("r", round, 1)
    (row.strategy, row.safe, row.policy) = (strategy, safe, "deny")
    (row.sizeBytes, row.chunkBytes, row.entryBytes) = (size, size, 4096)
    (row.ranges, row.devices, row.lanes, row.misalignBytes) = (1, 1, 1, 0)
    (row.engine, row.backing) = ("nt", "memfd")
    (row.convertRateHz, row.convertPages, row.convertWhere) = (1000, 1, "outside")
    row.env = "0123456789abcdef"
    return row
}
