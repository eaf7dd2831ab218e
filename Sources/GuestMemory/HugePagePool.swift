import DmaLinux

/// The kernel's pool of huge pages of one size, as /sys tells it
/// (Documentation/admin-guide/mm/hugetlbpage.rst).
struct HugePagePool: Sendable {
    let pageBytes: UInt64
    let sizePath: String
    /// Pages the pool holds, in use or not: what a write to `nr_hugepages` sets.
    let total: UInt64
    /// Pages that a new mapping can still reserve.
    let available: UInt64

    /// Nil where the kernel has no huge pages of this size.
    init?(pageBytes: UInt64, files: KernelFiles) {
        self.pageBytes = pageBytes
        sizePath = "/sys/kernel/mm/hugepages/" + Self.name(pageBytes)
        guard let total = files.number(sizePath + "/nr_hugepages") else { return nil }
        let path = sizePath
        func count(_ name: String) -> UInt64 { files.number("\(path)/\(name)") ?? 0 }
        self.total = total
        // Free pages that another mapping has reserved are spoken for; surplus ones are
        // allocated when a mapping reserves them.
        let unreserved = Self.difference(count("free_hugepages"), count("resv_hugepages"))
        let surplus = Self.difference(
            count("nr_overcommit_hugepages"), count("surplus_hugepages"))
        let sum = unreserved.addingReportingOverflow(surplus)
        available = sum.overflow ? UInt64.max : sum.partialValue
    }

    /// What all its available pages hold.
    var availableBytes: ByteCount {
        let product = available.multipliedReportingOverflow(by: pageBytes)
        return ByteCount(product.overflow ? UInt64.max : product.partialValue)
    }

    func pages(for bytes: ByteCount) -> UInt64 {
        bytes.rawValue / pageBytes + (bytes.rawValue % pageBytes == 0 ? 0 : 1)
    }

    /// The command that enlarges the pool until `bytes` fit.
    func reserveCommand(for bytes: ByteCount) -> String {
        let missing = Self.difference(pages(for: bytes), available)
        return "echo \(total + missing) | sudo tee \(sizePath)/nr_hugepages"
    }

    /// What its free pages on one NUMA node hold; nil where the kernel does not say.
    static func freeBytes(onNode node: Int, pageBytes: UInt64, files: KernelFiles) -> ByteCount? {
        let path = "/sys/devices/system/node/node\(node)/hugepages/\(name(pageBytes))"
        guard let free = files.number(path + "/free_hugepages") else { return nil }
        let product = free.multipliedReportingOverflow(by: pageBytes)
        return product.overflow ? nil : ByteCount(product.partialValue)
    }

    private static func name(_ pageBytes: UInt64) -> String {
        "hugepages-\(pageBytes / 1024)kB"
    }

    private static func difference(_ left: UInt64, _ right: UInt64) -> UInt64 {
        left > right ? left - right : 0
    }
}
