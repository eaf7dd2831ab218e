import DmaLinux
import DmaWriter
import GuestMemory
import PinLock
import Testing

@testable import Hypervisor

/// The hypervisor's half of the oracle sees every write to a private page, wherever the page goes next.
@Suite struct PrivatePageOracleTests {
    private let host: Host
    private let culprit = Stamp(device: 3, generation: 7)

    init() throws {
        host = try Host()
        host.oracle.arm([range(0..<64)])
    }

    private func share(_ range: PageRange) { host.oracle.willCommit(range, to: .shared) }
    private func takeAway(_ range: PageRange) { host.oracle.willCommit(range, to: .private) }

    private func expectFound(
        _ pages: UInt64, first: UInt64, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(host.oracle.violations == pages, sourceLocation: sourceLocation)
        let report = host.oracle.report ?? ""
        #expect(
            report.hasPrefix("\(GFN(first)): ") && report.contains("\(culprit)"), "\(report)",
            sourceLocation: sourceLocation)
    }

    /// The first line of a page, the last, and one between.
    @Test(arguments: [0, 31, 63])
    func aWriteIsFoundWhenThePageIsShared(line: Int) {
        host.write(culprit, to: page(5), line: line)
        share(range(4..<5))
        #expect(host.oracle.violations == 0 && host.oracle.report == nil)
        share(range(5..<7))
        expectFound(1, first: 5)
    }

    @Test func aWriteIsFoundAtTheEnd() throws {
        let arena = try Arena.create(pages: Host.pages, entrySize: .small)
        let strategy = RangeTree(arena: arena)
        _ = try strategy.convert(
            range(8..<16), to: .shared, policy: .deny, hooks: ConversionHooks())
        // Shared pages are the devices' to write, and targets the guest's own.
        for written in [0, 8, 20, 40, 63] { host.write(culprit, to: page(UInt64(written))) }
        host.oracle.checkPrivatePages(arena.table, except: [range(20..<24), range(30..<48)])
        expectFound(2, first: 0)
    }

    /// What a device wrote while the page was shared is no violation; what it wrote afterwards is.
    @Test func aPageIsStampedAnewWhenItBecomesPrivate() {
        share(range(2..<6))
        for number in UInt64(2)..<6 { host.write(culprit, to: page(number)) }
        takeAway(range(2..<6))
        for number in UInt64(2)..<6 { #expect(host.hasCanary(page(number))) }
        host.write(culprit, to: page(3))
        share(range(2..<6))
        expectFound(1, first: 3)
    }

    /// The devices' half goes by these numbers.
    @Test func everyConversionToPrivateIsNumbered() {
        let mark = host.ledger.mark()
        share(range(2..<6))
        #expect(!host.isNumbered(range(0..<64), since: mark))
        takeAway(range(3..<5))
        let found = host.ledger.pagesConverted(in: range(0..<64), since: mark)
        #expect(found?.pages == PageCount(2) && found?.first == GFN(3))
    }

    @Test func aFreedPageHasToReadAsZero() throws {
        let host = try Host(frees: true)
        let oracle = host.oracle
        oracle.arm([range(0..<64)])
        oracle.willCommit(range(2..<6), to: .shared)
        try host.view.mapping.discard(2 * 4096..<6 * 4096)
        oracle.willCommit(range(2..<6), to: .private)
        oracle.willCommit(page(2), to: .shared)
        #expect(oracle.violations == 0)
        host.write(culprit, to: page(4), line: 63)
        oracle.willCommit(range(3..<6), to: .shared)
        #expect(oracle.violations == 1)
        #expect(oracle.report == "\(GFN(4)): written after it was freed by \(culprit)")
    }

    /// A guest that boots shares pages that never had a canary.
    @Test func nothingIsCheckedBeforeItIsArmed() throws {
        let host = try Host()
        host.oracle.willCommit(range(0..<8), to: .shared)
        #expect(host.oracle.violations == 0)
        host.oracle.arm([range(8..<64)])
        host.write(culprit, to: page(8))
        host.oracle.willCommit(page(8), to: .shared)
        #expect(host.oracle.violations == 1)
    }

    /// Without writes there is nothing to find, and no page is touched.
    @Test func asleepItTouchesNoPage() throws {
        let host = try Host(isAwake: false)
        host.oracle.arm([range(0..<64)])
        host.oracle.willCommit(range(0..<8), to: .private)
        #expect(try host.view.mapping.populatedByteCount() == 0)
        #expect(host.isNumbered(page(7), since: .start))
    }
}
