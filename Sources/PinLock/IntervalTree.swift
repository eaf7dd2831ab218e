import GuestMemory
import Synchronization

/// All listed pins in a balanced search tree, ordered by start, each node with the end of its subtree.
///
/// A node is a journal entry, and stands for the hull of its ranges, from the lowest page to the highest: whoever meets
/// that asks the journal for the ranges. Its links lie in the entry's annex, as numbers. So a pin needs no allocation, and a
/// process that maps the arena elsewhere reads the same tree. The tree is a treap: also a heap by a hash of the
/// node's number, which keeps it logarithmic in expectation and needs no words of its own (Seidel and Aragon,
/// "Randomized Search Trees", Algorithmica 16, 1996). The hash is keyed with the arena's secret: who knew it could
/// choose ranges that make the tree a list. The augmentation is that of interval
/// trees in Cormen et al., chapter 14.3, and in Linux's include/linux/interval_tree_generic.h.
///
/// Everything is read and written under the mutex of `LockedPins`, and by nobody else.
struct IntervalTree: PinIndex {
    /// A node's number plus one, zero for none: so zero memory is an empty tree.
    typealias Link = UInt32

    struct Node {
        var left: Link = 0
        var right: Link = 0
        /// One past the last page of any range in the subtree.
        var end: UInt64 = 0
        /// The hull of the pin's own ranges: its first page, and one past its last.
        var lower: UInt64 = 0
        var upper: UInt64 = 0
    }

    static let byteCount = 64

    let root: UnsafeMutablePointer<Link>
    private let arena: Arena

    init(at base: UnsafeMutableRawPointer, arena: Arena) {
        root = base.assumingMemoryBound(to: Link.self)
        self.arena = arena
    }

    func insert(_ entry: Int, of device: DeviceID) {
        let link = link(entry, device)
        node(link).pointee = hull(of: link)
        root.pointee = inserting(link, into: root.pointee)
    }

    func remove(_ entry: Int, of device: DeviceID) {
        root.pointee = removing(link(entry, device), from: root.pointee)
    }

    func firstPinned(in range: PageRange) -> GFN? {
        var lowest = UInt64.max
        search(root.pointee, range, &lowest)
        return lowest == .max ? nil : GFN(lowest)
    }

    /// Goes through the pins whose hull meets the range, but for those that begin behind what has been found.
    private func search(_ tree: Link, _ range: PageRange, _ lowest: inout UInt64) {
        guard tree != 0 else { return }
        let node = node(tree).pointee
        guard node.end > range.lower else { return }
        search(node.left, range, &lowest)
        guard node.lower < min(range.upper, lowest) else { return }
        forEachRange(of: tree) { pinned in
            if let met = pinned.intersection(range) { lowest = min(lowest, met.lower) }
        }
        search(node.right, range, &lowest)
    }

    func rebuild() {
        root.pointee = 0
        arena.forEachListedEntry { journal, entry in insert(entry, of: journal.device) }
    }
}

// A pointer into the arena, whose mapping the arena keeps; all use of it is under the mutex.
extension IntervalTree: @unchecked Sendable {}

// MARK: Nodes

extension IntervalTree {
    private func link(_ entry: Int, _ device: DeviceID) -> Link {
        Link(device.rawValue * Journal.capacity + entry + 1)
    }

    private func journal(of link: Link) -> (journal: Journal, entry: Int) {
        let number = Int(link - 1)
        return (
            arena.journal(of: DeviceID(number / Journal.capacity)), number % Journal.capacity
        )
    }

    func node(_ link: Link) -> UnsafeMutablePointer<Node> {
        let (journal, entry) = journal(of: link)
        return journal.annex(entry).assumingMemoryBound(to: Node.self)
    }

    private func forEachRange(of link: Link, _ body: (PageRange) -> Void) {
        let (journal, entry) = journal(of: link)
        _ = journal.forEachRange(journal.entry(entry).range.pointee.load(ordering: .relaxed)) {
            body($0)
            return true
        }
    }

    /// A node without children, for what the journal says.
    private func hull(of link: Link) -> Node {
        var node = Node(lower: .max)
        forEachRange(of: link) { range in
            node.lower = min(node.lower, range.lower)
            node.upper = max(node.upper, range.upper)
        }
        node.end = node.upper
        return node
    }

    /// No two nodes have the same: each step can be undone.
    func priority(_ link: Link) -> UInt32 {
        let once = mix(link ^ UInt32(truncatingIfNeeded: arena.secret))
        return mix(once ^ UInt32(truncatingIfNeeded: arena.secret >> 32))
    }

    /// MurmurHash3's 32-bit finalizer.
    private func mix(_ word: UInt32) -> UInt32 {
        var mixed = (word ^ (word >> 16)) &* 0x85eb_ca6b
        mixed = (mixed ^ (mixed >> 13)) &* 0xc2b2_ae35
        return mixed ^ (mixed >> 16)
    }

    /// Equal starts are ordered by number, so that a node can be found again.
    private func precedes(_ first: Link, _ second: Link) -> Bool {
        (node(first).pointee.lower, first) < (node(second).pointee.lower, second)
    }

    private func end(of link: Link) -> UInt64 { link == 0 ? 0 : node(link).pointee.end }

    /// Gives a node its children, and works its subtree's end out from theirs.
    private func join(_ left: Link, under link: Link, _ right: Link) -> Link {
        let node = node(link)
        node.pointee.left = left
        node.pointee.right = right
        node.pointee.end = max(node.pointee.upper, end(of: left), end(of: right))
        return link
    }
}

// MARK: Changes: each returns the subtree's new root

extension IntervalTree {
    private func inserting(_ new: Link, into tree: Link) -> Link {
        guard tree != 0, priority(tree) > priority(new) else {
            let (left, right) = splitting(tree, at: new)
            return join(left, under: new, right)
        }
        let node = node(tree).pointee
        return precedes(new, tree)
            ? join(inserting(new, into: node.left), under: tree, node.right)
            : join(node.left, under: tree, inserting(new, into: node.right))
    }

    private func removing(_ old: Link, from tree: Link) -> Link {
        precondition(tree != 0, "pin \(old) is not in the tree")
        let node = node(tree).pointee
        if tree == old { return merging(node.left, node.right) }
        return precedes(old, tree)
            ? join(removing(old, from: node.left), under: tree, node.right)
            : join(node.left, under: tree, removing(old, from: node.right))
    }

    /// What precedes `border`, and the rest.
    private func splitting(_ tree: Link, at border: Link) -> (Link, Link) {
        guard tree != 0 else { return (0, 0) }
        let node = node(tree).pointee
        if precedes(border, tree) {
            let (left, right) = splitting(node.left, at: border)
            return (left, join(right, under: tree, node.right))
        }
        let (left, right) = splitting(node.right, at: border)
        return (join(node.left, under: tree, left), right)
    }

    /// One tree of two, all of the first before all of the second.
    private func merging(_ first: Link, _ second: Link) -> Link {
        if first == 0 { return second }
        if second == 0 { return first }
        let (left, right) = (node(first).pointee, node(second).pointee)
        return priority(first) > priority(second)
            ? join(left.left, under: first, merging(left.right, second))
            : join(merging(first, right.left), under: second, right.right)
    }
}

// MARK: Audit

extension IntervalTree {
    func audit() -> String? {
        var listed: Set<Link> = []
        arena.forEachListedEntry { listed.insert(link($1, $0.device)) }
        var found: [Link] = []
        if let complaint = auditSubtree(root.pointee, &found) { return complaint }
        if zip(found, found.dropFirst()).contains(where: { !precedes($0, $1) }) {
            return "the tree's ranges are out of order"
        }
        return Set(found) == listed
            ? nil : "the tree has \(found.count) pins, the journals \(listed.count)"
    }

    private func auditSubtree(_ tree: Link, _ found: inout [Link]) -> String? {
        guard tree != 0 else { return nil }
        let node = node(tree).pointee
        for child in [node.left, node.right] where child != 0 && priority(child) > priority(tree) {
            return "node \(child) is below node \(tree), and should be above"
        }
        let hull = hull(of: tree)
        guard (node.lower, node.upper) == (hull.lower, hull.upper) else {
            return "node \(tree) is not of the ranges that the journal has"
        }
        let ends = max(hull.upper, end(of: node.left), end(of: node.right))
        guard node.end == ends else {
            return "the ranges below node \(tree) end at \(ends), it says \(node.end)"
        }
        if let complaint = auditSubtree(node.left, &found) { return complaint }
        found.append(tree)
        return auditSubtree(node.right, &found)
    }
}
