import Testing

@testable import DmaWriter

@Suite struct StampTests {
    static let devices: [UInt16] = [0, 1, 255, 256, .max]
    static let generations: [UInt64] = [0, 1, 254, 255, 256, 1 << 31, 0xFFFF_FFFF]

    @Test func decodesWhatItEncodes() {
        for device in Self.devices {
            for generation in Self.generations {
                let stamp = Stamp(device: device, generation: generation)
                #expect(stamp.device == device)
                #expect(UInt64(stamp.generation) == generation)
                #expect(Stamp(decoding: stamp.rawValue) == stamp)
            }
        }
    }

    /// The guest chooses the generation: any 64 bits of it make a stamp of the same device.
    @Test(arguments: [1 << 32, UInt64.max, 0xD51A_FFFF_0000_0007])
    func keepsTheGenerationsLowBits(generation: UInt64) {
        let stamp = Stamp(device: 7, generation: generation)
        #expect(stamp.device == 7)
        #expect(stamp.generation == UInt32(truncatingIfNeeded: generation))
        #expect(Stamp(decoding: stamp.rawValue) == stamp)
    }

    @Test func isNoWordThatSomethingElseLeaves() {
        #expect(Stamp(decoding: 0) == nil)
        for byte in UInt64(0)...255 {
            #expect(Stamp(decoding: byte * 0x0101_0101_0101_0101) == nil)
        }
    }

    @Test func namesTheCulprit() {
        #expect("\(Stamp(device: 3, generation: 42))" == "device 3, request 42")
    }

    @Test(arguments: FillEngine.allCases)
    func patternOfEachEngine(engine: FillEngine) {
        for device in Self.devices {
            for generation in Self.generations {
                let stamp = Stamp(device: device, generation: generation)
                let pattern = engine.pattern(of: stamp)
                if engine == .memset {
                    #expect(pattern != 0)
                    #expect(pattern == (pattern & 0xFF) * 0x0101_0101_0101_0101)
                } else {
                    #expect(pattern == stamp.rawValue)
                }
            }
        }
    }

    @Test func memsetTellsSuccessiveRequestsApart() {
        for start in Self.generations {
            let patterns = (start..<start + 255).map {
                FillEngine.memset.pattern(of: Stamp(device: 9, generation: $0))
            }
            // Where the 32 bits wrap, 2^32 % 255 = 1 repeats a byte.
            #expect(Set(patterns).count >= 254, "from request \(start)")
        }
        let two = (UInt16(0)...1).map {
            FillEngine.memset.pattern(of: Stamp(device: $0, generation: 5))
        }
        #expect(two[0] != two[1])
    }
}
