import CNuma
import DmaLinux
import Glibc

/// One NUMA node on which guest memory lies, by policy and by the kernel's own account.
public struct Placement: Sendable, Equatable {
    public let node: Int

    /// Throws where there is no such node, or none of its memory is for this process.
    public init(node: Int) throws(PlacementFailure) {
        let available = try Self.availableNodes()
        guard !available.isEmpty else { throw .noNodes(.machine) }
        guard available.contains(node) else {
            throw .noSuchNode(node, available: available)
        }
        self.init(unchecked: node)
    }

    init(unchecked node: Int) { self.node = node }

    /// The nodes that have memory which this process may use, ascending.
    public static func availableNodes() throws(PlacementFailure) -> [Int] {
        try requireNuma()
        guard let allowed = numa_get_mems_allowed() else {
            throw .system(SystemError("get_mempolicy(MPOL_F_MEMS_ALLOWED)", code: errno))
        }
        defer { numa_bitmask_free(allowed) }
        return (0...numa_max_node())
            .filter { numa_bitmask_isbitset(allowed, UInt32($0)) != 0 }
            .filter { numa_node_size64($0, nil) > 0 }
            .map { Int($0) }
    }

    /// From now on pages of `range` come from this node only, in whichever process touches them first.
    ///
    /// The policy belongs to the shared file, not to this mapping (mbind(2)). Comes before prefaulting: pages
    /// that lie elsewhere already are an error (EIO). For hugetlb the range is of whole huge pages.
    public func bind(_ range: PageRange, of memory: GuestView) throws(PlacementFailure) {
        try Self.requireNuma()
        guard let mask = numa_bitmask_alloc(UInt32(node + 1)) else {
            throw .system(SystemError("numa_bitmask_alloc", code: ENOMEM))
        }
        defer { numa_bitmask_free(mask) }
        numa_bitmask_setbit(mask, UInt32(node))
        // The kernel reads one bit less than it is told (mm/mempolicy.c, get_nodes).
        let result = mbind(
            memory.pointer(to: range), UInt(range.count.bytes.rawValue), MPOL_BIND,
            mask.pointee.maskp, mask.pointee.size + 1, UInt32(MPOL_MF_STRICT))
        guard result != 0 else { return }
        let code = errno
        throw .system(
            SystemError(
                "mbind", code: code, on: "\(range) to node \(node)",
                advice: code == EIO
                    ? "pages of it were touched before and lie elsewhere"
                    : "run without --memory-node, or allow it: a filter of system calls may deny it"
            ))
    }

    /// Asks the kernel where each page of `range` is, and throws unless all are on this node.
    public func verify(_ range: PageRange, of memory: GuestView) throws(PlacementFailure) {
        var count: UInt64 = 0
        var first: (gfn: GFN, node: Int?)?
        try Self.forEachPage(of: range, in: memory) { gfn, actual in
            guard actual != node else { return }
            count += 1
            if first == nil { first = (gfn, actual) }
        }
        if let first {
            throw .elsewhere(
                PageCount(count), of: range, expected: node, first: first.gfn, on: first.node)
        }
    }

    /// The node that holds most of `range`, by some 4096 pages spread evenly over it; nil where none of them is
    /// allocated or the kernel does not say.
    public static func node(holding range: PageRange, of memory: GuestView) -> Int? {
        var pages: [Int: UInt64] = [:]
        let step = max(1, range.count.rawValue / 4096)
        try? forEachPage(of: range, in: memory, step: step) { _, node in
            if let node { pages[node, default: 0] += 1 }
        }
        return pages.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
    }

    private static func requireNuma() throws(PlacementFailure) {
        guard numa_available() >= 0 else { throw .unsupported }
    }

    /// Calls `body` with every `step`th page and its node, nil where the page is not allocated.
    private static func forEachPage(
        of range: PageRange, in memory: GuestView, step: UInt64 = 1, _ body: (GFN, Int?) -> Void
    ) throws(PlacementFailure) {
        try requireNuma()
        let base = memory.pointer(to: range)
        let batch = 4096
        var addresses = [UnsafeMutableRawPointer?](repeating: nil, count: batch)
        var status = [Int32](repeating: 0, count: batch)
        var next: UInt64 = 0
        while next < range.count.rawValue {
            let first = next
            var count = 0
            while count < batch && next < range.count.rawValue {
                addresses[count] = base + Int(next * pageSize)
                count += 1
                next += step
            }
            // Without target nodes the call moves nothing and only reports (move_pages(2)).
            guard move_pages(0, UInt(count), &addresses, nil, &status, 0) == 0 else {
                throw .system(SystemError("move_pages", code: errno, on: "\(range)"))
            }
            for index in 0..<count {
                let node = status[index] < 0 ? nil : Int(status[index])
                body(GFN(range.lower + first + UInt64(index) * step), node)
            }
        }
    }
}

/// Why guest memory is not on the node asked for.
public enum PlacementFailure: Error, Equatable, CustomStringConvertible {
    /// The kernel has no NUMA system calls, or a filter denies them.
    case unsupported
    /// Nobody says which nodes there are.
    case untold
    case noSuchNode(Int, available: [Int])
    /// Pages that the kernel reports on other nodes, or nowhere: how many, the first and its node.
    case elsewhere(PageCount, of: PageRange, expected: Int, first: GFN, on: Int?)
    case system(SystemError)

    /// Why no node has memory, where some node has the program's own.
    static func noNodes(_ files: KernelFiles) -> PlacementFailure {
        files.isMounted(.sys) ? .unsupported : .untold
    }

    public var description: String {
        switch self {
        case .untold: "\(KernelFiles.Mount.sys.absence); \(KernelFiles.Mount.sys.advice)"
        case .unsupported:
            "the kernel lacks or denies NUMA placement (get_mempolicy(2)); run without --memory-node"
        case .noSuchNode(let node, let available):
            "node \(node) has no memory for this process; these have: "
                + available.map(String.init).joined(separator: ", ")
        case .elsewhere(let count, let range, let expected, let first, let node):
            "not on node \(expected): \(count) of \(range); the first is \(first), "
                + (node.map { "on node \($0)" } ?? "not allocated")
        case .system(let error): error.description
        }
    }
}
