import CLinux
import DmaLinux

/// What guest memory is made of: the kernel's page sizes behind one anonymous shared file.
public enum Backing: String, CaseIterable, BitwiseCopyable, Sendable {
    /// A memfd of 4 KiB pages.
    case memfd
    /// A memfd of reserved 2 MiB pages.
    case hugetlb2M = "hugetlb-2m"
    /// A memfd of reserved 1 GiB pages.
    case hugetlb1G = "hugetlb-1g"
    /// A memfd whose mapping asks for transparent huge pages.
    case thp

    /// Region sizes are multiples of this: the reserved page size for hugetlb, else 4 KiB.
    public var granule: ByteCount {
        ByteCount(hugePageShift == CLINUX_HUGE_NONE ? pageSize : 1 << UInt64(hugePageShift))
    }

    public var isHugetlb: Bool { hugePageShift != CLINUX_HUGE_NONE }

    private var hugePageShift: Int32 {
        switch self {
        case .memfd, .thp: CLINUX_HUGE_NONE
        case .hugetlb2M: CLINUX_HUGE_2M
        case .hugetlb1G: CLINUX_HUGE_1G
        }
    }

    /// Makes sure that this machine, as it is set up now, can back `bytes` so; allocates nothing.
    public func probe(_ bytes: ByteCount) throws(BackingUnavailable) {
        try probe(bytes, files: .machine)
    }

    func probe(_ bytes: ByteCount, files: KernelFiles) throws(BackingUnavailable) {
        switch self {
        case .memfd: break
        case .hugetlb2M, .hugetlb1G: try probePool(bytes, files)
        case .thp: try probeTransparent(files)
        }
    }

    /// A new region of zeros, `bytes` rounded up to the granule, mapped into this process.
    ///
    /// Sparse: pages come with the first touch or with `GuestView.prefault`; only hugetlb reserves
    /// its pages here. Whether ordinary memory will suffice is `MemoryBudget`'s question.
    public func createRegion(_ bytes: ByteCount) throws(BackingUnavailable) -> SharedMapping {
        precondition(bytes.rawValue > 0, "guest memory needs at least one byte")
        let limit = PageRange.frameLimit * pageSize
        guard bytes.rawValue <= limit else {
            throw BackingUnavailable(
                self, "\(bytes.rounded) are more than a guest's \(ByteCount(limit).rounded)",
                remedy: .less)
        }
        try probe(bytes)
        let whole = (bytes.rawValue + granule.rawValue - 1) / granule.rawValue * granule.rawValue
        do {
            let mapping = try SharedMapping.create(
                name: "guest-memory", byteCount: Int(whole), hugePageShift: hugePageShift)
            if self == .thp {
                try check(
                    clinux_advise_huge(mapping.base, mapping.byteCount), "madvise(MADV_HUGEPAGE)")
            }
            return mapping
        } catch {
            throw BackingUnavailable(
                self, error.reason,
                remedy: error.advice.isEmpty ? .lessOrOtherBacking : .command(error.advice))
        }
    }

    private func probePool(_ bytes: ByteCount, _ files: KernelFiles) throws(BackingUnavailable) {
        guard let pool = HugePagePool(pageBytes: granule.rawValue, files: files) else {
            throw missing(missingPool(files), files)
        }
        let needed = pool.pages(for: bytes)
        guard needed <= pool.available else {
            let atBoot = "or start the kernel with hugepagesz=1G hugepages=\(needed)"
            throw BackingUnavailable(
                self,
                "huge pages of \(granule.rounded): \(needed) needed, \(pool.available) available",
                remedy: .command(
                    pool.reserveCommand(for: bytes) + (self == .hugetlb1G ? ", \(atBoot)" : "")))
        }
    }

    /// Where /sys is not there, the kernel says nothing of what it has.
    private func missing(_ what: String, _ files: KernelFiles) -> BackingUnavailable {
        let sys = KernelFiles.Mount.sys
        guard files.isMounted(sys) else {
            return BackingUnavailable(self, sys.absence, remedy: .command(sys.advice))
        }
        return BackingUnavailable(self, what, remedy: .otherBacking)
    }

    private func missingPool(_ files: KernelFiles) -> String {
        let flags = files.lines("/proc/cpuinfo").first { $0.hasPrefix("flags") }
        if self == .hugetlb1G, let flags, !flags.split(separator: " ").contains("pdpe1gb") {
            return "this processor has no 1 GiB pages (no pdpe1gb in /proc/cpuinfo)"
        }
        return "this kernel has no huge pages of \(granule.rounded) (CONFIG_HUGETLBFS)"
    }

    /// The switches of Documentation/admin-guide/mm/transhuge.rst, "Hugepages in tmpfs/shmem": the one
    /// for 2 MiB pages decides, unless it inherits or the global one denies or forces.
    private func probeTransparent(_ files: KernelFiles) throws(BackingUnavailable) {
        let directory = "/sys/kernel/mm/transparent_hugepage"
        let path = directory + "/shmem_enabled"
        let sizePath = directory + "/hugepages-2048kB/shmem_enabled"
        guard let global = files.choice(path) else {
            throw missing(
                "this kernel has no transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE)", files)
        }
        let ofSize = files.choice(sizePath) ?? "inherit"
        switch (global, ofSize) {
        case ("force", _): return
        case ("never", "inherit"), ("deny", _):
            throw BackingUnavailable(
                self, "\(path) says \(global)", remedy: .command("echo advise | sudo tee \(path)"))
        case (_, "never"):
            throw BackingUnavailable(
                self, "\(sizePath) says never",
                remedy: .command("echo advise | sudo tee \(sizePath)"))
        default: return
        }
    }
}

/// The machine cannot back guest memory as asked: why, and what would make it able to.
public struct BackingUnavailable: Error, Equatable, CustomStringConvertible {
    public let backing: Backing
    public let reason: String
    public let remedy: Remedy

    public enum Remedy: Equatable, Sendable {
        /// Something to be set on this machine, as a shell takes it.
        case command(String)
        case less
        case otherBacking
        case lessOrOtherBacking
    }

    init(_ backing: Backing, _ reason: String, remedy: Remedy) {
        self.backing = backing
        self.reason = reason
        self.remedy = remedy
    }

    public var description: String {
        let fact = "backing \(backing.rawValue): \(reason)"
        guard case .command(let command) = remedy else { return fact }
        return "\(fact); \(command)"
    }
}
