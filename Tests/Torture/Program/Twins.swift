#if DEBUG || TWINS
    import GuestMemory
    import DmaLinux

    @testable import PinLock

    /// A range tree with one thing wrong about deaths, which a campaign must notice.
    protocol BrokenTree: PinStrategy {
        var tree: RangeTree { get }
    }

    extension BrokenTree {
        static var info: StrategyInfo { RangeTree.info }
        static func sectionByteCount(pages: PageCount) -> Int {
            RangeTree.sectionByteCount(pages: pages)
        }
        static func metadataByteCount(pages: PageCount) -> Int {
            RangeTree.metadataByteCount(pages: pages)
        }
        var arena: Arena { tree.arena }
        func close(_ range: PageRange) { tree.close(range) }
        func open(_ range: PageRange) { tree.open(range) }
        func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
            tree.search(range, within: nanoseconds)
        }
        func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
            try tree.recover(device, until: deadline)
        }
        func audit() throws(SystemError) -> String? { try tree.audit() }
    }

    /// The device counts first and writes its journal then.
    struct CountsFirst: BrokenTree {
        let tree: RangeTree

        init(arena: Arena) { tree = RangeTree(arena: arena) }

        func pinner(for device: DeviceID) -> Device {
            Device(CountedPins(tree.cover, arena: arena, device: device))
        }

        final class Device: Pinner {
            private let pins: CountedPins<ForestCover>

            init(_ pins: CountedPins<ForestCover>) { self.pins = pins }

            func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
                for index in ranges.indices {
                    guard pins.cover.forest.firstClosed(in: ranges[index]) == nil else {
                        throw pins.cover.refusal(of: ranges[index])
                    }
                }
                for index in ranges.indices {
                    _ = pins.cover.forEachWord(ranges[index]) { counted in
                        counted.word.pointee.wrappingAdd(counted.addend, ordering: .acquiring)
                        return true
                    }
                }
                let pin = try pins.journal.begin(ranges)
                pins.journal.hold(pin)
                return pin
            }

            func unpin(_ pin: Pin) { pins.unpin(pin) }
        }
    }

    /// The recovery takes back what is held, and takes entries that are in doubt for free.
    struct SkipsTheTorn: BrokenTree {
        let tree: RangeTree

        init(arena: Arena) { tree = RangeTree(arena: arena) }

        func pinner(for device: DeviceID) -> RangeTree.Device { tree.pinner(for: device) }

        func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
            let journal = arena.journal(of: device)
            for entry in journal.liveEntries() where entry.state != .held {
                journal.clear(entry.index)
            }
            return try tree.recover(device, until: deadline)
        }
    }

    /// The recovery takes a list for its first range.
    struct ForgetsTheList: BrokenTree {
        let tree: RangeTree

        init(arena: Arena) { tree = RangeTree(arena: arena) }

        func pinner(for device: DeviceID) -> RangeTree.Device { tree.pinner(for: device) }

        func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
            let journal = arena.journal(of: device)
            for entry in journal.liveEntries() {
                journal.shorten(entry.index, to: [entry.ranges[0]])
            }
            return try tree.recover(device, until: deadline)
        }
    }
#endif
