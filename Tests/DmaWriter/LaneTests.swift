import GuardedMemory
import GuestMemory
import Testing

@testable import DmaWriter

@Suite(.timeLimit(.minutes(2))) struct LaneTests {
    /// Slices follow one another without gap and differ by a page at most; only the last is never
    /// empty.
    @Test func slicesAreWholePagesAndCoverTheRange() {
        for lanes in 1...5 {
            for lines in 0...64 * 12 {
                let byteCount = lines * 64
                let slices = (0..<lanes).map {
                    DmaWriter.slice($0, of: lanes, byteCount: byteCount)
                }
                var covered = 0
                for slice in slices {
                    #expect(slice.lowerBound == covered && slice.lowerBound % 4096 == 0)
                    covered = slice.upperBound
                }
                #expect(covered == byteCount, "\(lines) lines in \(lanes) lanes")
                #expect(lines == 0 || !slices[lanes - 1].isEmpty)
                let pages = slices.map { ($0.count + 4095) / 4096 }
                #expect(pages.max()! - pages.min()! <= 1, "\(lines) lines in \(lanes) lanes")
            }
        }
    }

    /// Whatever a lane stored is there when `write` returns: looked at at once, many times.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func returnsAfterEveryLane(engine: FillEngine) throws {
        let writer = try DmaWriter(engine: engine, lanes: 3, device: 21)
        let memory = try GuardedPages(pages: 96)
        for generation in UInt64(0)..<300 {
            let stamp = writer.stamp(generation: generation)
            writer.prepare(stamp)
            writer.write(memory.bytes, stamp: stamp)
            let missing = Verification.missingLines(
                in: UnsafeRawBufferPointer(memory.bytes), expected: stamp, engine: engine,
                coverage: .oneLinePerPage)
            #expect(missing == 0, "request \(generation)")
        }
    }

    @Test func idleLanesSleepAndWakeAgain() throws {
        let writer = try DmaWriter(engine: .memset, lanes: 3, device: 40_001)
        let memory = try GuardedPages(pages: 4)
        for generation in UInt64(0)..<5 {
            #expect(
                eventually {
                    let states = threadStates(named: "dma40001-lane")
                    return states.count == 2 && states.values.allSatisfy { $0 == "S" }
                })
            let stamp = writer.stamp(generation: generation)
            writer.write(memory.bytes, stamp: stamp)
            let word = FillEngine.memset.pattern(of: stamp)
            #expect(firstWord(in: memory.bytes, otherThan: word) == nil)
        }
    }

    /// Asleep or not, and with more lanes than it ever had pages.
    @Test(arguments: [1, 2, 3, 9])
    func leavesNoThread(lanes: Int) throws {
        let device = UInt16(41_000 + lanes)
        let memory = try GuardedPages(pages: 1)
        for letThemSleep in [false, true] {
            do {
                let writer = try DmaWriter(engine: .memset, lanes: lanes, device: device)
                #expect(
                    eventually { threadStates(named: "dma\(device)-lane").count == lanes - 1 })
                if letThemSleep {
                    #expect(
                        eventually {
                            threadStates(named: "dma\(device)-lane").values.allSatisfy {
                                $0 == "S"
                            }
                        })
                }
                writer.write(memory.bytes, stamp: writer.stamp(generation: 1))
            }
            #expect(eventually { threadStates(named: "dma\(device)-lane").isEmpty })
        }
    }
}

/// Not among those with a time limit: it waits for a process, and until a thread of the runner is free again, which may
/// take as long as all other tests.
@Suite struct NoLaneTests {
    @Test func needsALane() async {
        await #expect(processExitsWith: .failure) {
            _ = try DmaWriter(engine: .memset, lanes: 0, device: 0)
        }
    }
}
