import CRefuse
import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// What the kernel lacks or forbids, seen as a program does: a system call that fails.
    @Suite struct MissingFeatureTests {
        /// A strategy, what it needs, and how the program says that it is not there.
        struct Missing: CustomTestStringConvertible, Sendable {
            let strategy: String
            let refusal: Run.Refusal
            let reason: String

            init(
                _ strategy: String, _ call: crefuse_call, _ error: Int32, _ name: String,
                _ advice: String
            ) {
                self.strategy = strategy
                refusal = Run.Refusal(call: call, error: error)
                reason = "\(name): \(SystemError.message(error)); \(advice)"
            }

            var testDescription: String { "\(strategy): \(reason)" }
        }

        private static let filter = "a seccomp filter, as containers have one, must allow it"
        private static let uring = "it needs Linux 5.19 with CONFIG_IO_URING; \(filter)"
        private static let uringSwitch = "sudo sysctl kernel.io_uring_disabled=0; \(filter)"
        private static let memory =
            "raise the limit on locked memory (ulimit -l), free memory of the kernel "
            + "(echo 1 | sudo tee /proc/sys/vm/compact_memory), or choose a smaller --size or --chunk"
        private static let fault =
            "it needs Linux 6.4 with CONFIG_USERFAULTFD, and 4 KiB pages; \(filter)"
        private static let barrier = "it needs Linux 4.16 with CONFIG_MEMBARRIER; \(filter)"

        static let missing = [
            Missing("kernelpin", CREFUSE_IO_URING_SETUP, EPERM, "io_uring_setup", uringSwitch),
            Missing("kernelpin", CREFUSE_IO_URING_SETUP, ENOSYS, "io_uring_setup", uring),
            Missing(
                "kernelpin", CREFUSE_IO_URING_REGISTER, ENOMEM,
                "io_uring_register(BUFFERS2) (16384 empty slots)", memory),
            Missing("fault", CREFUSE_USERFAULTFD, EPERM, "userfaultfd", filter),
            Missing("fault", CREFUSE_USERFAULTFD, ENOSYS, "userfaultfd", fault),
            Missing("epoch", CREFUSE_MEMBARRIER, EPERM, registration, filter),
            Missing("epoch", CREFUSE_MEMBARRIER, ENOSYS, registration, barrier),
            Missing("slots", CREFUSE_MEMBARRIER, EPERM, registration, filter),
            Missing("slots", CREFUSE_MEMBARRIER, ENOSYS, registration, barrier),
        ]
        private static let registration = "membarrier(REGISTER_GLOBAL_EXPEDITED)"

        @Test(arguments: missing)
        func isARowAmongOthers(_ missing: Missing) throws {
            let run = try Run(
                [
                    "--size", "4M", "--strategy", "\(missing.strategy),rangetree", "--rounds", "1",
                    "--ops", "4",
                ], refusing: missing.refusal)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            #expect(Set(rows.map(\.strategy)) == [missing.strategy, "rangetree"])
            for row in rows where row.strategy == "rangetree" { expectGood(row) }
            for row in rows where row.strategy == missing.strategy {
                #expect(row["status"] == "unavailable:" + missing.reason)
                #expect(row["ops"] == "" && row["pin_ns_p50"] == "")
            }
            run.expectNoSurvivors()
        }

        @Test(arguments: missing)
        func aloneEndsTheRun(_ missing: Missing) throws {
            let outcome = try Run(
                ["--size", "4M", "--strategy", missing.strategy], refusing: missing.refusal
            ).finish()
            #expect(outcome.end == .exited(69) && outcome.output == "")
            #expect(
                outcome.errors == "dma-bench: --strategy \(missing.strategy): \(missing.reason)\n")
        }

        /// Where the kernel tells nothing of memory's place, rows do without; who asks for a place is told why there is
        /// none. No library has a line of its own.
        @Test(
            arguments: [CREFUSE_GET_MEMPOLICY, CREFUSE_MBIND],
            [EPERM, ENOSYS, EINVAL, EACCES])
        func ofPlacementIsToldOnce(call: crefuse_call, error: Int32) throws {
            let refusal = Run.Refusal(call: call, error: error)
            let plan = ["--size", "4K", "--strategy", "none", "--rounds", "1", "--ops", "1"]
            let outcome = try Run(plan, refusing: refusal).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let placed = try Run(plan + ["--memory-node", "0"], refusing: refusal).finish()
            #expect(placed.end == .exited(69), "\(placed.errors)")
            #expect(
                placed.errorLines.count == 1
                    && placed.errors.hasPrefix("dma-bench: --memory-node 0: "), "\(placed.errors)")
        }

        /// Where page tables are to stop wrong writes, no strategy can do without the feature.
        @Test(arguments: missing.filter { $0.strategy == "fault" })
        func ofEnforcementEndsTheRun(_ missing: Missing) throws {
            for (arguments, subject) in [
                (["--size", "4M", "--strategy", "all", "--enforce", "mmu"], "--enforce mmu"),
                (["outcomes"], "outcomes"),
            ] {
                let outcome = try Run(arguments, refusing: missing.refusal).finish()
                #expect(outcome.end == .exited(69) && outcome.output == "")
                #expect(outcome.errors == "dma-bench: \(subject): \(missing.reason)\n")
            }
        }

        /// What no run can do without.
        @Test(arguments: [
            ("memfd_create", CREFUSE_MEMFD_CREATE), ("eventfd", CREFUSE_EVENTFD),
            ("socketpair", CREFUSE_SOCKETPAIR), ("pidfd_open", CREFUSE_PIDFD_OPEN),
        ])
        func ofTheBasicsEndsTheRun(name: String, call: crefuse_call) throws {
            for (error, advice) in [(EPERM, Self.filter), (ENOSYS, "it needs Linux 5.14")] {
                let run = try Run(
                    ["--size", "4M", "--strategy", "all"],
                    refusing: Run.Refusal(call: call, error: error))
                let outcome = try run.finish(within: 30)
                #expect(outcome.end == .exited(69))
                #expect(try Rows(csv: outcome.output).rows.isEmpty)
                #expect(
                    outcome.errorLines.count == 1 && outcome.errors.contains(name)
                        && outcome.errors.contains(SystemError.message(error))
                        && outcome.errors.contains(advice), "\(outcome.errors)")
                run.expectNoSurvivors()
            }
        }

        private static let isolation = ["unshare", "--mount", "--map-root-user"]
        private static let canIsolate: Bool = {
            let outcome = try? Tool.run(isolation + ["true"], input: []) { false }
            return outcome?.end == .exited(0)
        }()

        /// The kernel is not blamed for files that nobody has mounted.
        @Test(.enabled(if: canIsolate, "needs a mount namespace: run as root"))
        func ofProcIsToldAsThat() throws {
            func outcome(without mount: String, _ arguments: String...) throws -> Run.Outcome {
                let script = "mount -t tmpfs none \(mount) && exec \"$@\""
                return try Run(
                    ["--size", "4M", "--rounds", "1"] + arguments,
                    through: Self.isolation + ["sh", "-c", script, "sh"]
                ).finish()
            }
            let proc = try outcome(without: "/proc")
            #expect(proc.end == .exited(69) && proc.errorLines.count == 1, "\(proc.errors)")
            #expect(
                proc.errors.hasSuffix("; /proc is not mounted: mount -t proc proc /proc\n"),
                "\(proc.errors)")
            for option in ["--backing=hugetlb-2m", "--backing=thp", "--memory-node=0"] {
                let sys = try outcome(without: "/sys", option)
                #expect(sys.end == .exited(69) && sys.errorLines.count == 1, "\(sys.errors)")
                #expect(
                    sys.errors.hasSuffix("/sys is not mounted; mount -t sysfs sysfs /sys\n"),
                    "\(sys.errors)")
            }
        }

        /// What is refused in the midst of a turn, to the harness or to a device: the turn's row says so, and the run
        /// ends with what to do. Nobody waits for an answer that cannot be heard.
        @Test(arguments: [
            ("ppoll", CREFUSE_PPOLL), ("device 0: prctl(PR_SET_PDEATHSIG)", CREFUSE_PRCTL),
            // No hole is no violation.
            ("fallocate(FALLOC_FL_PUNCH_HOLE) (guest-memory)", CREFUSE_FALLOCATE),
        ])
        func ofATurnEndsTheRun(name: String, call: crefuse_call) throws {
            for (error, advice) in [(EPERM, Self.filter), (ENOSYS, "it needs Linux 5.14")] {
                let run = try Run(
                    [
                        "--size", "4M", "--strategy", "rangetree", "--convert-to", "free",
                        "--rounds", "1",
                    ], refusing: Run.Refusal(call: call, error: error))
                let outcome = try run.finish(within: 30)
                #expect(outcome.end == .exited(69), "\(outcome.errors)")
                #expect(
                    outcome.errorLines.count == 1
                        && outcome.errors.hasPrefix(
                            "dma-bench: \(name): \(SystemError.message(error)); "
                                + advice)
                        && !outcome.errors.contains("was killed"),
                    "\(outcome.errors)")
                let rows = try Rows(csv: outcome.output).rows
                #expect(rows.count == 1 && rows[0]["status"].hasPrefix("failed:\(name): "))
                run.expectNoSurvivors()
            }
        }

        /// What the kernel says to a pin comes through, whole.
        @Test(arguments: [
            ("kernelpin", CREFUSE_IO_URING_UPDATE, ENOMEM, "io_uring_register(BUFFERS_UPDATE) ("),
            ("ofd", CREFUSE_SET_LOCK, ENOLCK, "fcntl(F_OFD_SETLK): "),
        ])
        func ofAPinEndsTheRun(
            strategy: String, call: crefuse_call, error: Int32, name: String
        ) throws {
            let run = try Run(
                [
                    "--size", "4M", "--strategy", strategy, "--rounds", "1", "--convert-rate", "0",
                ], refusing: Run.Refusal(call: call, error: error))
            let outcome = try run.finish(within: 30)
            #expect(outcome.end == .exited(69), "\(outcome.errors)")
            // Where there is no io_uring at all, that was told.
            if try !Rows(csv: outcome.output).rows.isEmpty {
                #expect(
                    outcome.errorLines.count == 1
                        && outcome.errors.hasPrefix("dma-bench: device 0: \(name)")
                        && outcome.errors.contains(": \(SystemError.message(error)); "),
                    "\(outcome.errors)")
                let advice = strategy == "kernelpin" ? Self.memory : "complete rows"
                #expect(outcome.errors.contains("; \(advice)"), "\(outcome.errors)")
            }
            run.expectNoSurvivors()
        }

        private static let withoutBarrier =
            "its pins cannot be recovered: \(registration): \(SystemError.message(EPERM)); \(filter); "
            + "leaked_pins is "

        /// Pins run without a barrier; the recovery of one that was torn does not, and says so.
        @Test func ofTheBarrierIsToldWhenADeviceDies() throws {
            var isTold = false
            for _ in 1...10 where !isTold {
                // Hardly ever outside a pin or an unpin.
                let run = try Run(
                    [
                        "--size", "1G", "--no-write", "--strategy", "perpage", "--convert-rate",
                        "0",
                        "--seconds", "60",
                    ], refusing: Run.Refusal(call: CREFUSE_MEMBARRIER, error: EPERM))
                let device = try #require(run.waitForDevices()?[0])
                #expect(run.waitForTurn())
                kill(device, SIGKILL)
                let outcome = try run.finish(within: 20)
                #expect(outcome.end == .exited(70) && outcome.errorLines.count == 1)
                let row = try #require(Rows(csv: outcome.output).rows.last)
                let leaked = try row.count("leaked_pins")
                #expect(outcome.errors.contains("leaked_pins is \(leaked)"))
                isTold = leaked > 0
                let says = outcome.errors.contains(Self.withoutBarrier)
                #expect(says == isTold, "\(outcome.errors)")
                run.expectNoSurvivors()
            }
            #expect(isTold)
        }
    }
}
