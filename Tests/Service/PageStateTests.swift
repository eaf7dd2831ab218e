import GuestMemory
import Testing

@testable import Service

/// Which pages change their state where a guest's regions change.
@Suite struct PageStateTests {
    private static func ranges(_ pairs: [(UInt64, UInt64)]) -> [PageRange] {
        pairs.map { PageRange(start: $0.0, count: $0.1 - $0.0) }
    }

    @Test(
        arguments: [
            ([(0, 10)], [], [(0, 10)]),
            ([(0, 10)], [(0, 10)], []),
            ([(0, 10)], [(2, 4), (6, 7)], [(0, 2), (4, 6), (7, 10)]),
            ([(0, 10)], [(0, 5), (5, 10)], []),
            ([(0, 4), (8, 12)], [(2, 10)], [(0, 2), (10, 12)]),
            ([(4, 8)], [(0, 6)], [(6, 8)]),
            ([(4, 8)], [(0, 4), (8, 9)], [(4, 8)]),
            ([], [(0, 4)], []),
        ] as [([(UInt64, UInt64)], [(UInt64, UInt64)], [(UInt64, UInt64)])])
    func whatIsNew(
        _ new: [(UInt64, UInt64)], _ old: [(UInt64, UInt64)], _ difference: [(UInt64, UInt64)]
    ) {
        #expect(
            PageStates.difference(Self.ranges(new), Self.ranges(old)) == Self.ranges(difference))
    }
}
