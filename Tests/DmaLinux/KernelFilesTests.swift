import Glibc
import MadeUpMachine
import Testing

@testable import DmaLinux

@Suite struct KernelFilesTests {
    @Test func whatIsNotMountedIsTold() throws {
        let bare = try MadeUpMachine([:])
        #expect(!bare.files.isMounted(.proc) && !bare.files.isMounted(.sys))
        #expect(bare.files.adviceOnProc() == "/proc is not mounted: mount -t proc proc /proc")
        let machine = try MadeUpMachine(["/proc/self/status": "", "/sys/kernel/x": ""])
        #expect(machine.files.isMounted(.proc) && machine.files.isMounted(.sys))
        #expect(machine.files.adviceOnProc() == "")
    }

    @Test func lockingMemoryIsACapability() {
        let status = KernelFiles.machine.lines("/proc/self/status")
        let digits = status.first { $0.hasPrefix("CapEff:") }?.split(separator: "\t").last
        let capabilities = digits.flatMap { UInt64($0, radix: 16) } ?? 0
        // CAP_IPC_LOCK is number 14 of linux/capability.h.
        #expect(LockedMemory.isExempt == (capabilities >> 14 & 1 == 1))
    }

    /// Whoever is root has it until that is over. The process ends as root again: a search for leaks at its end would not
    /// be let in.
    @Test(.enabled(if: geteuid() == 0, "needs root")) func itGoesWithRoot() async {
        await #expect(processExitsWith: .success) {
            #expect(seteuid(65_534) == 0 && !LockedMemory.isExempt)
            #expect(seteuid(0) == 0)
        }
    }
}
