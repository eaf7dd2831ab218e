import DmaLinux
import DmaWriter
import GuestMemory
import PinLock
import Testing
import Virtqueue

@testable import VirtualDevice

/// A store that faults under a pin, as one does where `--enforce mmu` has found a strategy out.
@Suite(
    .enabled("this machine cannot write-protect shared memory (userfaultfd)") {
        Fault.unavailability(pinning: PageCount(0)) == nil
    })
struct FaultedPinTests {
    /// Whatever the strategy, and in whichever chunk: the pages are nobody's afterwards.
    @Test(arguments: Candidate.safe, [UInt64(2), 64])
    func aRequestThatIsGivenUpLeavesNoPin(_ candidate: Candidate, chunk: UInt64) throws {
        let bench = try Bench(candidate.type)
        try bench.convert(bench.dataPages, to: .shared)
        bench.fill()
        let protection = try WriteProtection(
            of: UnsafeMutableRawBufferPointer(
                start: bench.view.mapping.base, count: bench.view.mapping.byteCount))
        try protection.set(true, page(22).start.address..<page(23).start.address)
        var options = Bench.Options()
        options.expectsFaults = true
        options.chunk = chunk
        let status = try bench.serve([[range(18..<20), range(21..<30)]], options)
        #expect(status == [Answer(.writeFault, gfn: GFN(22), bytesWritten: 3 * pageSize)])
        #expect(bench.pinsInFlight == 0)
        try bench.convert(range(18..<30), to: .private)
        #expect(try bench.strategy.audit() == nil)
    }
}
