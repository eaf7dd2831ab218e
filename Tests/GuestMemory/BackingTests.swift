import DmaLinux
import Glibc
import MadeUpMachine
import Testing

@testable import GuestMemory

private let mebibyte: UInt64 = 1 << 20
private let pool2M = "/sys/kernel/mm/hugepages/hugepages-2048kB"
private let pool1G = "/sys/kernel/mm/hugepages/hugepages-1048576kB"
private let transparent = "/sys/kernel/mm/transparent_hugepage"

@Suite struct BackingTests {
    private func refusal(
        _ backing: Backing, _ bytes: UInt64, on machine: [String: String]
    ) throws -> String? {
        let fake = try MadeUpMachine(machine)
        do {
            try backing.probe(ByteCount(bytes), files: fake.files)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func namesAreThoseOfTheCommandLine() {
        #expect(Backing.allCases.map(\.rawValue) == ["memfd", "hugetlb-2m", "hugetlb-1g", "thp"])
    }

    @Test func memfdNeedsNothing() throws {
        #expect(try refusal(.memfd, 1 << 44, on: [:]) == nil)
    }

    @Test func tooFewHugePagesNameTheCommandThatReservesThem() throws {
        let machine = [pool2M + "/nr_hugepages": "8\n", pool2M + "/free_hugepages": "3\n"]
        #expect(try refusal(.hugetlb2M, 6 * mebibyte, on: machine) == nil)
        #expect(
            try refusal(.hugetlb2M, 1040 * mebibyte + 1, on: machine)
                == "backing hugetlb-2m: huge pages of 2 MiB: 521 needed, 3 available; "
                + "echo 526 | sudo tee \(pool2M)/nr_hugepages")
    }

    @Test func reservedPagesAreSpokenForAndSurplusOnesCount() throws {
        var machine = [
            pool2M + "/nr_hugepages": "4", pool2M + "/free_hugepages": "4",
            pool2M + "/resv_hugepages": "3",
        ]
        #expect(try refusal(.hugetlb2M, 4 * mebibyte, on: machine) != nil)
        machine[pool2M + "/nr_overcommit_hugepages"] = "5"
        machine[pool2M + "/surplus_hugepages"] = "4"
        #expect(try refusal(.hugetlb2M, 4 * mebibyte, on: machine) == nil)
        #expect(try refusal(.hugetlb2M, 5 * mebibyte, on: machine) != nil)
    }

    @Test func gigabytePagesCanAlsoBeReservedAtBoot() throws {
        let machine = [pool1G + "/nr_hugepages": "0", pool1G + "/free_hugepages": "0"]
        #expect(
            try refusal(.hugetlb1G, 3 << 30, on: machine)
                == "backing hugetlb-1g: huge pages of 1 GiB: 3 needed, 0 available; "
                + "echo 3 | sudo tee \(pool1G)/nr_hugepages, "
                + "or start the kernel with hugepagesz=1G hugepages=3")
    }

    @Test func missingPageSizesAreSaidToBe() throws {
        let sys = ["\(pool2M)/nr_hugepages": "0"]
        func machine(_ flags: String) -> [String: String] {
            ["/proc/cpuinfo": flags].merging(sys) { one, _ in one }
        }
        #expect(
            try refusal(.hugetlb1G, 1, on: machine("flags\t: fpu pse\n"))
                == "backing hugetlb-1g: this processor has no 1 GiB pages "
                + "(no pdpe1gb in /proc/cpuinfo)")
        for flags in ["flags\t: fpu pdpe1gb\n", ""] {
            #expect(
                try refusal(.hugetlb1G, 1, on: machine(flags))
                    == "backing hugetlb-1g: this kernel has no huge pages of 1 GiB "
                    + "(CONFIG_HUGETLBFS)")
        }
    }

    @Test(
        arguments: [
            ("always [never] deny", nil, "/shmem_enabled says never; echo advise"),
            ("always never [deny]", "[always] inherit", "/shmem_enabled says deny; echo advise"),
            ("[advise] never", "inherit [never]", "/hugepages-2048kB/shmem_enabled says never"),
            ("[advise] never", "[inherit] never", nil),
            ("advise [never]", "[advise] never", nil),
            ("never [force]", "[never]", nil),
        ] as [(String, String?, String?)])
    func transparentHugePagesNeedBothSwitches(
        global: String, ofSize: String?, refused: String?
    ) throws {
        var machine = [transparent + "/shmem_enabled": global]
        machine[transparent + "/hugepages-2048kB/shmem_enabled"] = ofSize
        let text = try refusal(.thp, mebibyte, on: machine)
        if let refused {
            #expect(text?.contains(transparent + refused) == true, "\(text ?? "no refusal")")
        } else {
            #expect(text == nil)
        }
    }

    @Test func aKernelWithoutTransparentHugePagesSaysSo() throws {
        let machine = ["\(pool2M)/nr_hugepages": "0"]
        #expect(try refusal(.thp, 1, on: machine)?.contains("CONFIG_TRANSPARENT_HUGEPAGE") == true)
    }

    /// What the kernel has is not known then.
    @Test(arguments: [Backing.hugetlb2M, .hugetlb1G, .thp])
    func withoutSysNothingElseIsBlamed(backing: Backing) throws {
        #expect(
            try refusal(backing, 1, on: ["/proc/cpuinfo": "flags\t: fpu\n"])
                == "backing \(backing.rawValue): /sys is not mounted; mount -t sysfs sysfs /sys")
    }

    @Test func regionsAreSparseAndZero() throws {
        let mapping = try Backing.memfd.createRegion(ByteCount(64 << 30))
        #expect(mapping.byteCount == 64 << 30)
        #expect(try mapping.populatedByteCount() == 0)
        #expect(mapping.base.load(fromByteOffset: 63 << 30, as: UInt64.self) == 0)
    }

    @Test func regionsAreWholePages() throws {
        let mapping = try Backing.memfd.createRegion(ByteCount(pageSize + 1))
        #expect(GuestView(mapping).pages == PageCount(2))
    }

    @Test(arguments: [PageRange.frameLimit * pageSize + 1, UInt64.max])
    func aGuestHasAtMost16TiB(bytes: UInt64) {
        let refusal = #expect(throws: BackingUnavailable.self) {
            try Backing.memfd.createRegion(ByteCount(bytes))
        }
        #expect(refusal?.reason.contains("more than a guest's 16 TiB") == true)
    }
}

/// What this machine's own huge pages do; the pool and the switch are global, so one test at a time.
@Suite(.serialized) struct HugePageTests {
    private func freePages() -> UInt64? {
        KernelFiles.machine.number(pool2M + "/free_hugepages")
    }

    private func kibibytesMappedHuge(at base: UnsafeMutableRawPointer) -> Substring? {
        let address = String(UInt(bitPattern: base), radix: 16)
        return KernelFiles.machine.lines("/proc/self/smaps")
            .drop { !$0.hasPrefix(address + "-") }
            .first { $0.hasPrefix("ShmemPmdMapped:") }?
            .split(separator: " ")[1]
    }

    @Test(.enabled(if: Machine.canSet(Machine.hugePages), "needs root and huge pages"))
    func hugetlbRegionsReserveWholeHugePages() throws {
        let reserved = try Machine.withHugePages(2) {
            let before = MemoryBudget.current(for: .hugetlb2M).available
            let mapping = try Backing.hugetlb2M.createRegion(ByteCount(2 * mebibyte + 1))
            #expect(mapping.byteCount == Int(4 * mebibyte))
            let after = MemoryBudget.current(for: .hugetlb2M).available
            #expect(before.rawValue - after.rawValue == 4 * mebibyte)

            let view = GuestView(mapping)
            let untouched = try #require(freePages())
            try view.prefault(PageRange(start: 0, count: 1), threads: 1)
            #expect(freePages() == untouched - 1)
            try view.prefault(view.wholeRange, threads: 2)
            #expect(freePages() == untouched - 2)

            let tooMany = ByteCount(after.rawValue + 1)
            #expect(throws: BackingUnavailable.self) { try Backing.hugetlb2M.probe(tooMany) }
            #expect(throws: MemoryShortage.self) {
                try MemoryBudget.current(for: .hugetlb2M).require(tooMany, for: "guest memory")
            }
        }
        if !reserved { try Test.cancel("the kernel found no free 2 MiB pages") }
    }

    @Test(.enabled(if: Machine.canSet(Machine.shmemHuge), "needs root and transparent huge pages"))
    func regionsAreNotQuietlyMadeOfSmallPages() throws {
        try Machine.withShmemHuge("never") {
            #expect(throws: BackingUnavailable.self) {
                try Backing.thp.createRegion(ByteCount(4 * mebibyte))
            }
        }
    }

    @Test(.enabled(if: Machine.canSet(Machine.shmemHuge), "needs root and transparent huge pages"))
    func transparentHugePagesAreMappedWhole() throws {
        try Machine.withShmemHuge("advise") {
            let mapping = try Backing.thp.createRegion(ByteCount(4 * mebibyte))
            let view = GuestView(mapping)
            try view.prefault(view.wholeRange, threads: 1)
            #expect(kibibytesMappedHuge(at: mapping.base) == "4096")
        }
    }
}
