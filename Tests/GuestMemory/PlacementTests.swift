import DmaLinux
import MadeUpMachine
import Testing

@testable import GuestMemory

/// What one node can show; two are tried in a virtual machine.
@Suite(.enabled(if: Placement.isAnswered, "the kernel does not tell where pages are"))
struct PlacementTests {
    private let view: GuestView

    init() throws {
        view = GuestView(try Backing.memfd.createRegion(ByteCount(5000 * pageSize)))
    }

    @Test func boundPagesAreWhereTheyWereBound() throws {
        for node in try Placement.availableNodes() {
            let view = GuestView(try Backing.memfd.createRegion(ByteCount(100 * pageSize)))
            let placement = try Placement(node: node)
            try placement.bind(view.wholeRange, of: view)
            try view.prefault(view.wholeRange, threads: 2)
            try placement.verify(view.wholeRange, of: view)
            #expect(Placement.node(holding: view.wholeRange, of: view) == node)
        }
    }

    @Test func pagesThatAreNowhereAreCountedAcrossBatches() throws {
        let placement = try Placement(node: try #require(Placement.availableNodes().first))
        try placement.bind(view.wholeRange, of: view)
        try view.prefault(PageRange(start: 0, count: 4500), threads: 1)
        let asked = PageRange(start: 10, count: 4990)
        #expect(
            throws: PlacementFailure.elsewhere(
                PageCount(500), of: asked, expected: placement.node, first: GFN(4500), on: nil)
        ) { try placement.verify(asked, of: view) }
        try placement.verify(PageRange(start: 4490, count: 10), of: view)
    }

    @Test func pagesOnAnotherNodeAreCounted() throws {
        let node = try #require(Placement.availableNodes().first)
        try Placement(node: node).bind(view.wholeRange, of: view)
        let asked = PageRange(start: 7, count: 9)
        try view.prefault(asked, threads: 1)
        let failure = PlacementFailure.elsewhere(
            PageCount(9), of: asked, expected: node + 1, first: GFN(7), on: node)
        #expect(throws: failure) {
            try Placement(unchecked: node + 1).verify(asked, of: view)
        }
        #expect(
            failure.description
                == "not on node \(node + 1): 9 pages of 9 pages from GFN 0x7; "
                + "the first is GFN 0x7, on node \(node)")
    }

    @Test func untouchedMemoryIsOnNoNode() {
        #expect(Placement.node(holding: view.wholeRange, of: view) == nil)
    }

    @Test(arguments: [-1, 100_000, Int.max])
    func aNodeThatIsNotThereIsRefusedWithThoseThatAre(node: Int) throws {
        let available = try Placement.availableNodes()
        #expect(!available.isEmpty)
        let failure = PlacementFailure.noSuchNode(node, available: available)
        #expect(throws: failure) { try Placement(node: node) }
        #expect(failure.description.contains("these have: \(available[0])"))
    }

    @Test func aBindingTheKernelRefusesIsAnError() throws {
        #expect(throws: PlacementFailure.self) {
            try Placement(unchecked: 1000).bind(view.wholeRange, of: view)
        }
    }
}

/// No node is known: the kernel has none, or nobody has told.
@Suite struct UnknownNodesTests {
    @Test func withoutSysTheKernelIsNotBlamed() throws {
        #expect(
            PlacementFailure.noNodes(try MadeUpMachine([:]).files).description
                == "/sys is not mounted; mount -t sysfs sysfs /sys")
        let machine = try MadeUpMachine(["/sys/devices/system/node/online": "0\n"])
        #expect(PlacementFailure.noNodes(machine.files) == .unsupported)
    }
}

extension Placement {
    /// Whether move_pages(2) and mbind(2) are there and allowed.
    static let isAnswered: Bool = {
        guard let region = try? Backing.memfd.createRegion(ByteCount(pageSize)) else {
            return false
        }
        let view = GuestView(region)
        guard let node = try? availableNodes().first,
            (try? Placement(unchecked: node).bind(view.wholeRange, of: view)) != nil,
            (try? view.prefault(view.wholeRange, threads: 1)) != nil
        else { return false }
        return Placement.node(holding: view.wholeRange, of: view) != nil
    }()
}
