import MadeUpMachine
import Testing

@testable import GuestMemory

@Suite struct MemoryBudgetTests {
    private let meminfo = ["/proc/meminfo": "MemTotal: 900 kB\nMemAvailable:    1000 kB\n"]

    private func budget(
        _ machine: [String: String], _ backing: Backing = .memfd, node: Int? = nil
    ) throws -> MemoryBudget {
        let fake = try MadeUpMachine(machine)
        return MemoryBudget.current(for: backing, node: node, files: fake.files)
    }

    @Test func absurdSizesAreRefusedOnThisMachine() throws {
        for backing in Backing.allCases {
            #expect(throws: MemoryShortage.self) {
                try MemoryBudget.current(for: backing).require(ByteCount(1 << 50), for: "x")
            }
        }
    }

    @Test func aRefusalGivesThePurposeBothAmountsAndTheLimit() throws {
        let budget = try budget(meminfo)
        try budget.require(ByteCount(1000 << 10), for: "x")
        let refusal = #expect(throws: MemoryShortage.self) {
            try budget.require(ByteCount((1000 << 10) + 1), for: "x")
        }
        #expect(refusal?.needed == ByteCount((1000 << 10) + 1))
        #expect(refusal?.available == ByteCount(1000 << 10))
        let big = #expect(throws: MemoryShortage.self) {
            try budget.require(ByteCount(5 << 30), for: "guest memory")
        }
        #expect(
            big?.description
                == "guest memory needs 5 GiB, 1000 KiB are available (MemAvailable of /proc/meminfo)"
        )
    }

    @Test func nothingKnownIsNoLimit() throws {
        #expect(try budget([:]).available == ByteCount(UInt64.max))
    }

    @Test func aGroupOfVersion2BindsThroughItsAncestors() throws {
        let machine = meminfo.merging(
            [
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/memory.max": "500000\n",
                "/sys/fs/cgroup/a/memory.current": "400000\n",
                "/sys/fs/cgroup/a/memory.stat": "anon 9\nactive_file 50000\ninactive_file 20000\n",
                "/sys/fs/cgroup/a/b/memory.max": "max\n",
                "/sys/fs/cgroup/a/b/memory.current": "400000\n",
            ]) { $1 }
        let budget = try budget(machine)
        #expect(budget.available == ByteCount(170_000))
        #expect(budget.limit == "/sys/fs/cgroup/a/memory.max")
    }

    @Test func aGroupOfVersion1BindsEvenUnderTheHostsPath() throws {
        let machine = meminfo.merging(
            [
                "/proc/self/cgroup": "5:cpu:/x\n4:hugetlb,memory:/docker/1:2\n0::/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "300000\n",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": "100000\n",
                "/sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 1000\n",
            ]) { $1 }
        let budget = try budget(machine)
        #expect(budget.available == ByteCount(201_000))
        #expect(budget.limit == "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    }

    @Test func aGroupOverItsLimitLeavesNothing() throws {
        let machine = [
            "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "10\n",
            "/sys/fs/cgroup/memory.current": "20\n",
        ]
        #expect(try budget(machine).available == ByteCount(0))
    }

    @Test func oddFilesAreNoLimit() throws {
        let machine = [
            "/proc/self/cgroup": "nonsense\n\n0:\n", "/proc/meminfo": "MemAvailable:\n",
            "/sys/fs/cgroup/memory.max": "", "/sys/fs/cgroup/memory.current": "-1",
        ]
        #expect(try budget(machine).available == ByteCount(UInt64.max))
        let huge = ["/proc/meminfo": "MemAvailable: 18446744073709551615 kB\n"]
        #expect(try budget(huge).available == ByteCount(UInt64.max))
    }

    @Test func oneNodeOfSeveralHasItsOwnMemory() throws {
        let node = "/sys/devices/system/node/node1/meminfo"
        var machine = meminfo
        machine["/sys/devices/system/node/has_memory"] = "0-1\n"
        machine[node] =
            "Node 1 MemFree: 100 kB\nNode 1 Active(file): 40 kB\nNode 1 Inactive(file): 20 kB\n"
        let there = try budget(machine, node: 1)
        #expect(there.available == ByteCount(130 << 10))
        #expect(there.limit == "memory of node 1")
        #expect(try budget(machine).available == ByteCount(1000 << 10))
    }

    @Test func theOnlyNodesMemoryIsTheMachines() throws {
        var machine = meminfo
        machine["/sys/devices/system/node/has_memory"] = "0\n"
        machine["/sys/devices/system/node/node0/meminfo"] = "Node 0 MemFree: 100 kB\n"
        #expect(try budget(machine, node: 0).available == ByteCount(1000 << 10))
    }

    @Test func hugePagesAreABudgetOfTheirOwn() throws {
        var machine = meminfo
        let pool = "hugepages/hugepages-2048kB"
        machine["/sys/kernel/mm/\(pool)/nr_hugepages"] = "9"
        machine["/sys/kernel/mm/\(pool)/free_hugepages"] = "7"
        machine["/sys/devices/system/node/node1/\(pool)/free_hugepages"] = "2"
        #expect(try budget(machine, .hugetlb2M).available == ByteCount(14 << 20))
        let onNode = try budget(machine, .hugetlb2M, node: 1)
        #expect(onNode.available == ByteCount(4 << 20))
        #expect(onNode.limit == "huge pages of 2 MiB on node 1")
        #expect(try budget(machine, .hugetlb1G).available == ByteCount(0))
    }

    @Test(
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1 << 20 | 1 << 14, "1.01 MiB"),
            (25_149_194_240, "23.42 GiB"), (UInt64.max, "15.99 EiB"),
        ] as [(UInt64, String)])
    func amountsAreCutToHundredths(bytes: UInt64, text: String) {
        #expect(ByteCount(bytes).rounded == text)
    }
}
