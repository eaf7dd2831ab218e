import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import PinLock
import Settings
import Synchronization
import Testing
import Virtqueue

@testable import VirtualDevice

/// A page that becomes private under a device's write.
@Suite(
    .enabled("this machine cannot write-protect shared memory (userfaultfd)") {
        Fault.unavailability(pinning: PageCount(0)) == nil
    })
final class FaultRecoveryTests {
    private let bench: Bench
    private let protection: WriteProtection

    init() throws {
        bench = try Bench(Fault.self)
        protection = try WriteProtection(
            of: UnsafeMutableRawBufferPointer(
                start: bench.view.mapping.base, count: bench.view.mapping.byteCount))
        try bench.convert(bench.dataPages, to: .shared)
        bench.fill()
    }

    private func options(_ policy: FaultPolicy?, hypervisor: Int32 = -1) -> Bench.Options {
        var options = Bench.Options()
        options.expectsFaults = true
        options.faultPolicy = policy
        options.retryNanoseconds = 20_000_000
        options.hypervisor = hypervisor
        return options
    }

    /// As the hypervisor does: protected before the commit, and until just before the next.
    private func convert(_ page: PageRange, to state: PageState) throws {
        let start = page.start.address
        let bytes = start..<start + pageSize
        if state == .private { try protection.set(true, bytes) }
        if state == .shared { try protection.set(false, bytes) }
        try bench.convert(page, to: state)
    }

    @Test(arguments: [nil, .abort] as [FaultPolicy?])
    func theRequestFailsAndSaysHowFarItGot(policy: FaultPolicy?) throws {
        try convert(page(22), to: .private)
        let status = try bench.serve(
            [[range(18..<20), range(21..<30)], [range(40..<42)]], options(policy))
        #expect(status[0] == Answer(.writeFault, gfn: GFN(22), bytesWritten: 3 * pageSize))
        #expect(status[1] == Answer(.ok, bytesWritten: 2 * pageSize))
        #expect(bench.pages(writtenBy: 1).written == [18, 19, 21])
        #expect(bench.pages(writtenBy: 2).untouched.contains(22))
        #expect(bench.faults.count == 1 && bench.faults.lostBytes == 8 * pageSize)
        #expect(bench.faults.firstGFN == 22 && bench.faults.firstGeneration == 1)
        let sample = try #require(bench.takeSamples().first)
        #expect(sample.status == 5 && sample.firstGFN == 22 && sample.bytes == 3 * pageSize)
    }

    @Test func aRetryGoesOnWhenThePageIsSharedAgain() throws {
        try convert(page(22), to: .private)
        var patient = options(.retry)
        patient.retryNanoseconds = 20_000_000_000
        let (status, faults) = try whileServing([[range(18..<30)]], patient) {
            // Long enough for the device to have faulted; were it not, it would not fault at all, and that shows.
            sleep(until: .after(milliseconds: 50))
            try convert(page(22), to: .shared)
        }
        #expect(status == [Answer(.ok, bytesWritten: 12 * pageSize)])
        #expect(bench.pages(writtenBy: 1).written == Set(18..<30))
        #expect(faults.count == 1 && faults.lostBytes == 0)
        #expect(faults.longestRecoveryNanoseconds > 0)
    }

    @Test func aRetryEndsAtTheDeadline() throws {
        try convert(page(22), to: .private)
        let status = try bench.serve([[range(18..<30)]], options(.retry))
        #expect(status == [Answer(.writeFault, gfn: GFN(22), bytesWritten: 4 * pageSize)])
        #expect(bench.faults.recoveryNanoseconds >= 20_000_000)
    }

    /// Protected already, private not yet: the device waits for what the conversion comes to, and does not fault on.
    @Test func aRetryWaitsForAConversionUnderWay() throws {
        let (isProtected, mayCommit) = (Flag(), Flag())
        let vcpu = JoinableThread(
            try WorkerThread(name: "vcpu") { [self] in
                let hooks = ConversionHooks(willCommit: { range, _ in
                    let start = range.start.address
                    try! self.protection.set(true, start..<start + pageSize)
                    isProtected.set()
                    while !mayCommit.isSet { sleep(until: .after(milliseconds: 1)) }
                })
                _ = try! bench.strategy.convert(
                    page(22), to: .private, policy: .deny, hooks: hooks)
            })
        defer { vcpu.join() }
        while !isProtected.isSet { sleep(until: .after(milliseconds: 1)) }
        var patient = options(.retry)
        patient.retryNanoseconds = 20_000_000_000
        let last = (bench.view.pointer(to: page(22)) - 8).assumingMemoryBound(
            to: Atomic<UInt64>.self)
        let filled = last.pointee.load(ordering: .relaxed)
        let (status, faults) = try whileServing([[range(18..<30)]], patient) {
            // Until the page before it is written, and then for long enough to fault often.
            while last.pointee.load(ordering: .relaxed) == filled {
                sleep(until: .after(milliseconds: 1))
            }
            sleep(until: .after(milliseconds: 50))
            mayCommit.set()
            vcpu.join()
            try convert(page(22), to: .shared)
        }
        #expect(status == [Answer(.ok, bytesWritten: 12 * pageSize)])
        #expect(faults.count == 1)
    }

    /// The third time it gives the page, or never.
    @Test(arguments: [true, false])
    func theHypervisorIsAskedForThePage(givesIt: Bool) throws {
        try convert(page(22), to: .private)
        let (near, far) = try FileDescriptor.packetPair()
        defer { for end in [near, far] { close(end) } }
        let asked = AskedPages()
        let service = JoinableThread(
            try WorkerThread(name: "serve") { [self] in
                try? bench.strategy.serve(DeviceID(0), on: near) { range in
                    asked.append(range)
                    guard givesIt, asked.pages.count == 3 else { return false }
                    return (try? convert(range, to: .shared)) != nil
                }
            })
        var asking = options(.convertBack, hypervisor: far)
        if givesIt { asking.retryNanoseconds = 20_000_000_000 }
        let status = try bench.serve([[range(18..<30)]], asking)
        shutdown(far, Int32(SHUT_RDWR))
        service.join()
        // How often within the timeout is the scheduler's affair.
        #expect(!asked.pages.isEmpty && asked.pages.allSatisfy { $0 == page(22) })
        #expect(bench.faults.count == 1)
        if givesIt {
            #expect(asked.pages.count == 3)
            #expect(status == [Answer(.ok, bytesWritten: 12 * pageSize)])
            #expect(bench.pages(writtenBy: 1).written == Set(18..<30))
        } else {
            #expect(
                status == [Answer(.writeFault, gfn: GFN(22), bytesWritten: 4 * pageSize)])
        }
    }

    // MARK: A device that ignores the rules

    private func attack(_ gfn: GFN) throws -> RogueReport {
        let writer = try DmaWriter(engine: .nt, lanes: 1, device: 0, expectsFaults: true)
        return RogueDevice(pinner: bench.pinner, view: bench.view, writer: writer).attack(gfn)
    }

    @Test func aRogueDeviceIsStoppedHoweverItWrites() throws {
        try convert(page(22), to: .private)
        let report = try attack(GFN(22))
        #expect(report.storedBytes == 0)
        #expect(report.readResult == -Int64(EFAULT))
        #expect([-Int64(EFAULT), -Int64(ENOSYS), -Int64(EPERM)].contains(report.uringResult))
        #expect(bench.pages(writtenBy: 1).untouched.contains(22))
    }

    /// The control: it is the protection that stops it.
    @Test func withoutProtectionItWrites() throws {
        try bench.convert(page(22), to: .private)
        let report = try attack(GFN(22))
        #expect(report.storedBytes == pageSize && report.readResult == Int64(pageSize))
        #expect(!bench.pages(writtenBy: 1).untouched.contains(22))
    }

    /// Serves on a thread of its own while `body` runs here.
    private func whileServing(
        _ requests: [[PageRange]], _ options: Bench.Options, _ body: () throws -> Void
    ) throws -> ([Answer?], FaultTotals) {
        let outcome = Outcome()
        let device = JoinableThread(
            try WorkerThread(name: "device") { [bench] in
                outcome.status = (try? bench.serve(requests, options)) ?? []
            })
        defer { device.join() }
        try body()
        device.join()
        return (outcome.status, bench.faults)
    }
}

// Its methods run on one thread but for `convert`, whose parts are made for several.
extension FaultRecoveryTests: @unchecked Sendable {}

/// Written by one thread, read once it has been joined.
private final class Outcome: @unchecked Sendable {
    var status: [Answer?] = []
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

private final class AskedPages: @unchecked Sendable {
    private(set) var pages: [PageRange] = []
    func append(_ range: PageRange) { pages.append(range) }
}
