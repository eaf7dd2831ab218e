import DmaLinux
import GuestMemory
import Hypervisor
import PinLock
import Turn

/// The machine of a run: whether it fits, where it lies, and whether its processors are two.
extension Runner {
    func makeMachine(
        _ backing: Backing, _ cells: [Cell], _ observer: some RunObserver
    ) throws(RunFailure) -> VirtualMachine {
        let pages = cells.map(\.map.pages).max()!
        let memory: SharedMapping
        do throws(BackingUnavailable) {
            memory = try backing.createRegion(pages.bytes)
        } catch {
            throw .unavailable(error.advised)
        }
        let view = GuestView(memory, pages: pages)
        try place(view)
        if plan.request.settings.writes {
            do throws(PrefaultFailure) {
                try view.prefault(
                    view.wholeRange, threads: machineProcessors.count,
                    shouldStop: { observer.shouldStop }, progress: { observer.prefaulting($0) })
            } catch {
                if case .stopped = error { throw .interrupted }
                throw .unavailable(error.advised)
            }
            try verifyPlace(view)
        }
        do throws(SystemError) {
            return try VirtualMachine(
                memory: memory, pages: pages, isSparse: !plan.request.settings.writes,
                deviceProcessors: processors(devices: cells.map(\.settings.devices).max()!).devices,
                clock: clock)
        } catch {
            throw .unavailable("\(error)")
        }
    }

    /// Whether the guests of one backing fit, before anything is touched.
    public static func checkMemory(_ plan: Plan, _ backing: Backing) throws(RunFailure) {
        let cells = plan.cells.filter { $0.settings.backing == backing }
        let pages = cells.map(\.map.pages).max()!
        let touched = plan.request.settings.writes ? pages.bytes : ByteCount(0)
        let node = plan.request.memoryNode
        do {
            try backing.probe(touched)
            try MemoryBudget.current(for: backing, node: node).require(
                touched, for: "guest memory")
            // The metadata is ordinary memory, whatever the guest's is.
            let beside = backing == .memfd ? touched : ByteCount(0)
            try MemoryBudget.current(for: .memfd).require(
                ByteCount(metadata(plan, on: backing).rawValue + beside.rawValue),
                for: beside == ByteCount(0) ? "metadata" : "guest memory with its metadata")
        } catch let error as BackingUnavailable {
            throw .unavailable(error.advised)
        } catch let shortage as MemoryShortage {
            throw .unavailable(
                "\(shortage); choose a smaller --size"
                    + (plan.request.settings.writes
                        ? ", or --no-write to measure synchronisation alone" : ""))
        } catch {
            throw .unavailable("\(error)")
        }
    }

    /// What table, tree and ledger take for the pages that are ever shared.
    public static func metadata(_ plan: Plan, on backing: Backing) -> ByteCount {
        let cells = plan.cells.filter { $0.settings.backing == backing }
        return ByteCount(
            cells.map { cell -> UInt64 in
                let shared = cell.map.buffers.reduce(0) { $0 + $1.span.count.rawValue }
                let perStrategy = cell.strategy.metadataByteCount(pages: PageCount(shared))
                return UInt64(perStrategy) + shared * 16
            }.max() ?? 0)
    }

    private func place(_ view: GuestView) throws(RunFailure) {
        guard let node = plan.request.memoryNode else { return }
        let placement = try Self.placement(node)
        do throws(PlacementFailure) {
            try placement.bind(view.wholeRange, of: view)
        } catch {
            throw .unavailable("--memory-node \(node): \(error)")
        }
    }

    /// Asks the kernel where the pages are, rather than trusting what it was told.
    private func verifyPlace(_ view: GuestView) throws(RunFailure) {
        if let node = plan.request.memoryNode {
            let placement = try Self.placement(node)
            do throws(PlacementFailure) {
                try placement.verify(view.wholeRange, of: view)
            } catch {
                throw .unavailable("--memory-node \(node): \(error)")
            }
        }
        memoryNode = Placement.node(holding: view.wholeRange, of: view)
    }

    func calibrate() throws(RunFailure) -> Calibration {
        let processors = processors(devices: 1)
        do throws(SystemError) {
            return try Calibration.measure(processors.devices[0], processors.vcpus[0])
        } catch {
            throw .machine(.system(error))
        }
    }
}
