import CLinux
import Glibc
import MadeUpMachine
import Testing

@testable import DmaLinux

@Suite struct CounterTests {
    private let file = "/proc/thread-self/schedstat"

    @Test func countersOnlyGrow() {
        let before = ThreadCounters.ofThisThread()
        let after = ThreadCounters.ofThisThread()
        #expect(after.runNanoseconds > before.runNanoseconds)
        #expect(after.waitNanoseconds >= before.waitNanoseconds)
        #expect(after.involuntarySwitches >= before.involuntarySwitches)
        #expect(after.minorFaults >= before.minorFaults)
    }

    @Test func aFirstTouchIsAMinorFault() throws {
        let pages = 64
        let memory = mmap(
            nil, pages << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let base = try #require(memory != MAP_FAILED ? memory : nil)
        defer { munmap(base, pages << 12) }
        madvise(base, pages << 12, MADV_NOHUGEPAGE)
        let before = ThreadCounters.ofThisThread()
        for page in 0..<pages { base.storeBytes(of: 1, toByteOffset: page << 12, as: UInt8.self) }
        let counted = ThreadCounters.ofThisThread().since(before)
        #expect(counted.minorFaults >= UInt64(pages))
    }

    @Test func aThreadCountsForItself() throws {
        // Its first instant: whatever the runner has used up is not among it.
        let spent = ThreadCounters.ofThisThread().runNanoseconds
        try #require(spent > 0)
        try WorkerThread(name: "fresh") {
            let fresh = ThreadCounters.ofThisThread()
            var time = timespec()
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
            let process = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
            #expect(fresh.runNanoseconds <= process - spent)
        }.join()
    }

    @Test(
        arguments: [("5 7 3\n", 7), ("0 0 1\n", 0), ("0 0 0\n", nil), ("5 7\n", nil), ("", nil)]
            as [(String, UInt64?)])
    func theTimeSpentWaiting(text: String, waited: UInt64?) throws {
        let machine = try MadeUpMachine([file: text])
        #expect(ThreadCounters.waiting(machine.files) == waited)
        #expect(ThreadCounters.ofThisThread(machine.files).waitNanoseconds == waited ?? 0)
    }

    @Test func withoutTheFileTheRestIsTold() throws {
        let machine = try MadeUpMachine([:])
        let counters = ThreadCounters.ofThisThread(machine.files)
        #expect(counters.waitNanoseconds == 0)
        #expect(counters.runNanoseconds > 0)
        #expect(ThreadCounters.isAvailable == (readSmallFile(file) != nil))
    }

    @Test func differencesAndSums() {
        var one = ThreadCounters()
        one.runNanoseconds = 100
        one.waitNanoseconds = 10
        one.involuntarySwitches = 3
        one.minorFaults = 2
        var later = one
        later.runNanoseconds = 150
        later.waitNanoseconds = 0  // could not be read
        later.involuntarySwitches = 4
        var sum = later.since(one)
        #expect(sum.runNanoseconds == 50)
        #expect(sum.waitNanoseconds == 0)
        #expect(sum.involuntarySwitches == 1)
        #expect(sum.minorFaults == 0)
        sum.add(one)
        #expect(sum.runNanoseconds == 150)
        #expect(sum.waitNanoseconds == 10)
        #expect(sum.involuntarySwitches == 4)
        #expect(sum.minorFaults == 2)
    }
}

@Suite struct QuotaThrottlingTests {
    private func throttled(_ contents: [String: String]) throws -> UInt64? {
        let machine = try MadeUpMachine(contents)
        return QuotaThrottling.throttledNanoseconds(machine.files)
    }
    private let group = "/proc/self/cgroup"

    @Test func aGroupAndThoseAboveItAreAddedUp() throws {
        let text = "usage_usec 9\nnr_throttled 2\nthrottled_usec"
        #expect(
            try throttled([
                group: "0::/a/b\n", "/sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
                "/sys/fs/cgroup/a/cpu.stat": "\(text) 30\n",
                "/sys/fs/cgroup/a/b/cpu.stat": "\(text) 4\n",
                "/sys/fs/cgroup/c/cpu.stat": "\(text) 100\n",
            ]) == 34_000)
    }

    @Test func version1CountsNanoseconds() throws {
        let contents = [
            group: "3:cpuset:/x\n2:cpu,cpuacct:/docker/1:2\n0::/\n",
            "/sys/fs/cgroup/cpu/cpu.stat": "nr_periods 7\nnr_throttled 1\nthrottled_time 1234\n",
            "/sys/fs/cgroup/unified/cpu.stat": "usage_usec 5\n",
        ]
        #expect(try throttled(contents) == 1234)
    }

    @Test func aQuotaBesideVersion1() throws {
        let contents = [
            group: "1:memory:/m\n0::/a\n", "/sys/fs/cgroup/unified/a/cpu.stat": "throttled_usec 2",
        ]
        #expect(try throttled(contents) == 2000)
    }

    @Test func nobodyTells() throws {
        #expect(try throttled([:]) == nil)
        #expect(try throttled([group: "0::/\n"]) == nil)
        #expect(try throttled([group: "0::/\n", "/sys/fs/cgroup/cpu.stat": "usage_usec 1"]) == nil)
        let odd = "throttled_usec 18446744073709551615\n"
        #expect(try throttled([group: "0::/\n", "/sys/fs/cgroup/cpu.stat": odd]) == nil)
    }

    @Test func itNeverShrinks() {
        guard let before = QuotaThrottling.throttledNanoseconds() else { return }
        #expect(QuotaThrottling.throttledNanoseconds() ?? 0 >= before)
    }
}

@Suite(.serialized) struct StopCounterTests {
    @Test func goingOnIsCounted() throws {
        try StopCounter.install()
        let before = StopCounter.count
        // To the process: threads of a pool, as this one may be, keep signals from themselves.
        #expect(kill(getpid(), SIGCONT) == 0)
        waitForMore(than: before)
    }

    /// A stopped process cannot continue itself: a shell stops this one and lets it go on.
    @Test func aStopIsSeen() throws {
        try StopCounter.install()
        let before = StopCounter.count
        let shell = "kill -s STOP \(getpid()); kill -s CONT \(getpid())"
        let outcome = try Tool.run(["sh", "-c", shell], input: []) { false }
        #expect(outcome.end == .exited(0))
        waitForMore(than: before)
    }

    /// Whichever thread takes the signal may not have come to it.
    private func waitForMore(than before: UInt64) {
        let patience = Deadline.after(milliseconds: 60_000)
        while StopCounter.count == before && !patience.hasPassed { sched_yield() }
        #expect(StopCounter.count > before)
    }
}
