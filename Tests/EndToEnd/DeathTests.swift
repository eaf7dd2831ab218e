import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// Processes are mortal at any instruction.
    @Suite struct DeathTests {
        private static let long = [
            "--size", "64M", "--strategy", "all", "--rounds", "100000", "--seconds", "0.3",
        ]

        /// The run ends by itself, says which device died of what, and has its pins back.
        private func expectEndByDeath(
            of device: Int, by signal: Int32, _ run: Run,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let outcome = try run.finish(within: 20)
            #expect(outcome.end == .exited(70), sourceLocation: sourceLocation)
            #expect(
                outcome.errorLines.count == 1
                    && outcome.errors.contains("device \(device) (pid ")
                    && outcome.errors.contains("was ended by signal \(signal)"),
                "\(outcome.errors)", sourceLocation: sourceLocation)
            let rows = try Rows(csv: outcome.output).rows
            for row in rows.dropLast() { expectGood(row, sourceLocation: sourceLocation) }
            if let last = rows.last {
                #expect(last["status"].hasPrefix("failed:"), sourceLocation: sourceLocation)
                #expect(["", "0"].contains(last["leaked_pins"]), sourceLocation: sourceLocation)
            }
            run.expectNoSurvivors(sourceLocation: sourceLocation)
        }

        /// From right after it was started to the middle of a later turn.
        @Test(arguments: [0, 5, 40, 150, 400, 1100] as [UInt64])
        func ofADeviceEndsTheRun(milliseconds: UInt64) throws {
            let run = try Run(Self.long)
            let device = try #require(run.waitForDevices()?[0])
            sleep(
                until: .after(
                    nanoseconds: milliseconds * 1_000_000 + UInt64.random(in: 0..<5_000_000)))
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
        }

        /// A core file would hold as much as the guest has, of each process.
        @Test func coreFilesHoldNothingThatIsShared() throws {
            let run = try Run(Self.long + ["--strategy", "rangetree"])
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            for process in [run.pid, device] {
                var name: Substring?
                var names: Set<Substring> = []
                for line in readFile("/proc/\(process)/smaps").split(separator: "\n") {
                    if let mapping = line.firstMatch(of: /^[0-9a-f]+-.* \/memfd:(\S+)/) {
                        name = mapping.1
                    } else if line.hasPrefix("VmFlags:"), let mapped = name {
                        names.insert(mapped)
                        #expect(line.split(separator: " ").contains("dd"), "\(mapped): \(line)")
                        name = nil
                    }
                }
                #expect(names.count >= 4 && names.contains("guest-memory"), "\(names)")
            }
            run.signal(SIGKILL)
            _ = try run.finish()
        }

        @Test(arguments: [SIGSEGV, SIGTERM])
        func ofADeviceIsToldBySignal(_ signal: Int32) throws {
            let run = try Run(Self.long)
            let device = try #require(run.waitForDevices()?[0])
            #expect(eventually(within: 60) { run.rowCount >= 1 })
            kill(device, signal)
            try expectEndByDeath(of: 0, by: signal, run)
        }

        /// With `fault` a device looks at this signal before it dies of it.
        @Test func ofADeviceThatWatchesForFaultsIsToldBySignal() throws {
            let run = try Run(Self.long + ["--strategy", "fault", "--seconds", "60"])
            guard let device = run.waitForDevices()?[0] else {
                #expect(try run.finish().end == .exited(69), "\(run.errors)")
                return
            }
            #expect(run.waitForTurn())
            kill(device, SIGBUS)
            try expectEndByDeath(of: 0, by: SIGBUS, run)
        }

        /// Whoever started the harness may have it ignore the deaths of children: then the kernel would not tell of
        /// them.
        @Test func isToldToAHarnessThatWasStartedDeafToIt() throws {
            let run = try Run(Self.long, through: ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"])
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
        }

        @Test func ofOneDeviceOfTwoNamesIt() throws {
            let run = try Run(Self.long + ["--devices", "2", "--size", "16M", "--seconds", "60"])
            let devices = try #require(run.waitForDevices(2))
            #expect(run.waitForTurn())
            kill(try #require(devices[1]), SIGKILL)
            try expectEndByDeath(of: 1, by: SIGKILL, run)
        }

        /// A thread of the hypervisor answers each device: it must neither hang nor keep the pin.
        @Test(arguments: [20, 500] as [UInt64])
        func ofADeviceThatIsServedEndsTheRun(milliseconds: UInt64) throws {
            let run = try Run(
                [
                    "--size", "4M", "--strategy", "rpc", "--devices", "2", "--rounds", "100000",
                    "--seconds", "0.3", "--chunk", "4K",
                ])
            let device = try #require(run.waitForDevices(2)?[0])
            sleep(until: .after(milliseconds: milliseconds))
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
        }

        /// Both may die in the middle of a pin: neither recovery waits for the other.
        @Test(arguments: ["perpage", "rangetree", "slots"])
        func ofBothDevicesLeavesNothing(strategy: String) throws {
            let run = try Run(
                [
                    "--size", "64M", "--strategy", strategy, "--devices", "2", "--no-write",
                    "--chunk", "1M", "--seconds", "60",
                ])
            let devices = try #require(run.waitForDevices(2))
            #expect(run.waitForTurn())
            for device in devices.values { kill(device, SIGKILL) }
            let outcome = try run.finish(within: 20)
            #expect(outcome.end == .exited(70))
            #expect(outcome.errors.contains("leaked_pins is 0"), "\(outcome.errors)")
            #expect(try Rows(csv: outcome.output).rows.map { $0["leaked_pins"] } == ["0"])
            run.expectNoSurvivors()
        }

        /// A request of the other one may take seconds: it ends its turn.
        @Test func ofOneDeviceLetsTheOtherEndItsRequest() throws {
            // 32,768 questions to the hypervisor.
            let run = try Run(
                [
                    "--size", "128M", "--chunk", "4K", "--strategy", "rpc", "--devices", "2",
                    "--no-write", "--convert-rate", "0", "--seconds", "60",
                ])
            let device = try #require(run.waitForDevices(2)?[1])
            #expect(run.waitForTurn())
            kill(device, SIGKILL)
            let outcome = try run.finish(within: 60)
            #expect(outcome.end == .exited(70))
            #expect(outcome.errors.contains("device 1 (pid \(device))"), "\(outcome.errors)")
            #expect(!outcome.errors.contains("did not come to its end"), "\(outcome.errors)")
            #expect(outcome.errors.contains("leaked_pins is 0"), "\(outcome.errors)")
            run.expectNoSurvivors()
        }

        /// It may have the mutex, and the other device wait for it.
        @Test(arguments: ["mutexlist", "intervaltree"])
        func ofAStoppedDeviceNamesTheStoppedOne(strategy: String) throws {
            let run = try Run(
                [
                    "--size", "16M", "--chunk", "4K", "--strategy", strategy, "--devices", "2",
                    "--no-write", "--seconds", "60",
                ])
            let devices = try #require(run.waitForDevices(2))
            let (waiting, stopped) = (try #require(devices[0]), try #require(devices[1]))
            #expect(run.waitForTurn())
            // Until the other one stands still for its sake, or for so often that it hardly ever has the mutex.
            for _ in 0..<100 {
                kill(stopped, SIGSTOP)
                let patience = Deadline.after(milliseconds: 50)
                while ChildProcess.isRunnable(waiting), !patience.hasPassed {
                    sleep(until: .after(milliseconds: 1))
                }
                if !ChildProcess.isRunnable(waiting) { break }
                kill(stopped, SIGCONT)
                sleep(until: .after(nanoseconds: UInt64.random(in: 0..<2_000_000)))
            }
            kill(stopped, SIGSTOP)
            let outcome = try run.finish(within: 60)
            #expect(outcome.end == .exited(70))
            #expect(
                outcome.errors.contains("device 1 (pid \(stopped)) has not run for 5 s: stopped?"),
                "\(outcome.errors)")
            #expect(!outcome.errors.contains("device 0 did not"), "\(outcome.errors)")
            #expect(outcome.errors.contains("leaked_pins is 0"), "\(outcome.errors)")
            run.expectNoSurvivors()
        }

        /// Whatever the device holds, and wherever in taking it or giving it back, while a converter waits for it.
        @Test func ofADeviceEndsARunOfEveryStrategy() throws {
            for strategy in try listedStrategies().map(\.name) {
                let run = try Run(
                    [
                        "--size", "4M", "--chunk", "16K", "--devices", "2", "--strategy", strategy,
                        "--policy", "wait", "--convert-rate", "2000", "--convert-where", "inside",
                        "--seconds", "60",
                    ])
                guard let device = run.waitForDevices(2)?[0] else {
                    #expect(try run.finish().end == .exited(69), "\(strategy): \(run.errors)")
                    continue
                }
                #expect(run.waitForTurn())
                sleep(until: .after(nanoseconds: UInt64.random(in: 0..<100_000_000)))
                kill(device, SIGKILL)
                try expectEndByDeath(of: 0, by: SIGKILL, run)
                let leaked = try Rows(csv: run.output).rows.map { $0["leaked_pins"] }
                #expect(leaked == ["0"], "\(strategy): \(run.errors)")
            }
        }

        @Test func ofASleepingDeviceEndsTheRun() throws {
            let run = try Run(
                Self.long + ["--notify", "eventfd", "--convert-where", "mixed", "--seconds", "60"])
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
        }

        /// A conversion may be waiting for the dead device's pin.
        @Test(arguments: ["wait", "revoke"])
        func ofADeviceThatIsWaitedForEndsTheRun(_ policy: String) throws {
            let run = try Run(
                Self.long + [
                    "--strategy", "longlived", "--policy", policy, "--convert-where", "inside",
                    "--seconds", "60",
                ])
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            sleep(until: .after(milliseconds: 300))
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
        }

        /// A device that stops holds the turn up, and the run waits for it: it may go on.
        @Test func ofAStoppedDeviceIsNoticedWheneverItComes() throws {
            let run = try Run(Self.long)
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            kill(device, SIGSTOP)
            // Long past the end of its turn.
            sleep(until: .after(milliseconds: 1000))
            #expect(Processes.isAlive(run.pid))
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
        }

        /// A device that waits for a processor, as all do on a busy machine, is not one that is stopped.
        @Test func aStoppedDeviceIsToldFromOneThatWaitsForAProcessor() throws {
            let run = try Run(Self.long)
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            func comesTo(_ isRunnable: Bool) -> Bool {
                let patience = Deadline.after(milliseconds: 60_000)
                while ChildProcess.isRunnable(device) != isRunnable, !patience.hasPassed {
                    sleep(until: .after(milliseconds: 1))
                }
                return ChildProcess.isRunnable(device) == isRunnable
            }
            // It polls: whenever one looks it runs, or is about to.
            #expect(comesTo(true))
            kill(device, SIGSTOP)
            #expect(comesTo(false))
            for _ in 0..<10 { #expect(!ChildProcess.isRunnable(device)) }
            kill(device, SIGCONT)
            #expect(comesTo(true))
            kill(device, SIGKILL)
            try expectEndByDeath(of: 0, by: SIGKILL, run)
            #expect(!ChildProcess.isRunnable(device))
        }

        /// A turn in which a device was stopped is taken again, and says nothing of that any more; where it happens each
        /// time, the row does. Meanwhile a conversion that waits for the stopped device's pin gives up at its deadline of
        /// a second: nobody waits for ever.
        @Test(arguments: [("slots", 1), ("mutexlist", 3)])
        func aTurnInWhichADeviceWasStoppedIsTakenAgain(strategy: String, stops: Int) throws {
            let run = try Run(
                [
                    "--size", "64M", "--strategy", strategy, "--policy", "wait",
                    "--convert-rate", "2000", "--convert-where", "inside", "--rounds", "1",
                    "--seconds", "2",
                ])
            let device = try #require(run.waitForDevices()?[0])
            for attempt in 1...stops {
                #expect(run.waitForTurn())
                // Warm-up takes some ten milliseconds of it.
                sleep(until: .after(milliseconds: 500))
                kill(device, SIGSTOP)
                sleep(until: .after(milliseconds: 1200))
                kill(device, SIGCONT)
                guard attempt < stops else { break }
                #expect(eventually { !Processes.threads(of: run.pid).contains("vcpu-0") })
            }
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            let repeated = "round 1 of '\(strategy)' 64M is taken again: somebody was stopped in it"
            let lines = outcome.errors.split(separator: "\n")
            #expect(lines.count { $0.contains(repeated) } == min(stops, 2), "\(outcome.errors)")
            let row = try #require(Rows(csv: outcome.output).rows.first)
            expectGood(row)
            #expect(try row.count("stops") == (stops == 3 ? 1 : 0))
            #expect(row["noisy"].contains("stopped") == (stops == 3))
        }

        /// Nor does it wait for ever.
        @Test func ofAnyoneIsBetterThanADeviceThatStaysStopped() throws {
            // A device that sleeps between requests must not be taken for one that is stopped.
            let run = try Run(
                Self.long + ["--devices", "2", "--size", "4M", "--notify", "eventfd"])
            let device = try #require(run.waitForDevices(2)?[1])
            #expect(run.waitForTurn())
            kill(device, SIGSTOP)
            let outcome = try run.finish(within: 60)
            #expect(outcome.end == .exited(70))
            #expect(
                outcome.errorLines.count == 1
                    && outcome.errors.contains(
                        "device 1 (pid \(device)) has not run for 5 s: stopped?"),
                "\(outcome.errors)")
            #expect(outcome.errors.contains("leaked_pins is 0"))
            run.expectNoSurvivors()
        }

        @Test func ofNobodyIsMadeOfADeviceThatGoesOn() throws {
            let run = try Run(
                ["--size", "4M", "--strategy", "rangetree", "--rounds", "3", "--seconds", "0.2"])
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            kill(device, SIGSTOP)
            sleep(until: .after(milliseconds: 1000))
            kill(device, SIGCONT)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "", "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            #expect(rows.count == 3)
            for row in rows { expectGood(row) }
        }

        /// Nobody outlives the harness, however it ends.
        @Test(arguments: ["poll", "eventfd"])
        func ofTheHarnessEndsItsDevices(notify: String) throws {
            let run = try Run(
                Self.long + [
                    "--devices", "2", "--size", "4M", "--notify", notify, "--seconds", "60",
                ])
            _ = try #require(run.waitForDevices(2))
            // Between turns a device would notice by itself that nobody talks to it any more.
            #expect(run.waitForTurn())
            run.signal(SIGKILL)
            #expect(try run.finish().end == .signalled(SIGKILL))
            run.expectNoSurvivors()
        }

        @Test func ofTheHarnessAtTheStartEndsItsDevices() throws {
            let run = try Run(Self.long)
            _ = try #require(run.waitForDevices())
            run.signal(SIGKILL)
            #expect(try run.finish().end == .signalled(SIGKILL))
            run.expectNoSurvivors()
        }
    }
}
