/// The columns of the output: the one source of CSV header, JSON keys and documentation.
///
/// Columns are only ever appended; a change of a column's meaning is a new column.
public enum Schema {
    /// The value of the column `schema`.
    public static let version = 2
    /// The versions whose rows can be read; what they lack is empty.
    static let readable = 1...2

    public static let columns: [Column] = [
        Column("schema", \.schema, "Version of this list of columns."),
        Column("run", \.run, "Identifier that all rows of one run share."),
        Column("round", \.round, "Round of the run; every cell is measured once in each."),
        Column("position", \.position, "Place of the strategy within its round."),
        Column("strategy", \.strategy, "Name of the pin strategy."),
        Column(
            "safe", \.safe, "Whether the strategy claims that no private page is ever written."),
        Column("policy", \.policy, "What a conversion gets that meets a pin."),
        Column(
            "size_bytes", \.sizeBytes, unit: "B", "Buffer that one DMA request writes, or reads."),
        Column("entry_bytes", \.entryBytes, unit: "B", "Guest memory that one RMP entry covers."),
        Column(
            "chunk_bytes", \.chunkBytes, unit: "B",
            "Part of a DMA request that is pinned, written and unpinned at once, however small the pool that it goes through."
        ),
        Column("ranges", \.ranges, "Scatter-gather ranges in a DMA request."),
        Column(
            "misalign_bytes", \.misalignBytes, unit: "B",
            "Distance of the buffer from its natural alignment."),
        Column("devices", \.devices, "Virtual-device processes that work at the same time."),
        Column(
            "engine", \.engine, "Instructions that the device writes with; none where it does not.",
            formerly: ["movsb": "stosq"]),
        Column(
            "lanes", \.lanes,
            "Threads with which each device writes; it reads with one, whatever this says."),
        Column("backing", \.backing, "Kind of memory behind the guest."),
        Column(
            "memory_node", \.memoryNode, "NUMA node that holds guest memory, as the kernel says."),
        Column("device_cpu", \.deviceCpu, "CPUs that the devices are bound to, in their order."),
        Column("vcpu_cpu", \.vcpuCpu, "CPUs that the vCPUs are bound to, in their order."),
        Column(
            "convert_rate_hz", \.convertRateHz, unit: "1/s",
            "Page state changes that the guest asks for each second; empty in a closed loop."),
        Column("convert_pages", \.convertPages, "4 KiB pages in each page state change."),
        Column(
            "convert_where", \.convertWhere,
            "Whether conversions are inside the buffers, outside, or mixed."),
        Column("ops", \.ops, "DMA requests that were completed."),
        Column(
            "refused", \.refused,
            "DMA requests that the device refused: a page was private, in conversion too long, or too much."
        ),
        Column(
            "pin_ns_p50", \.pinNsP50, unit: "ns",
            "Median time to pin a DMA request, in place, clock included."),
        Column(
            "pin_ns_p99", \.pinNsP99, unit: "ns",
            "99th percentile of the time to pin a DMA request, in place, clock included."),
        Column(
            "pin_ns_max", \.pinNsMax, unit: "ns",
            "Longest time to pin a DMA request, in place, clock included."),
        Column(
            "write_ns_p50", \.writeNsP50, unit: "ns",
            "Median time to write a DMA request, or to read it, in place, clock included."),
        Column(
            "write_ns_p99", \.writeNsP99, unit: "ns",
            "99th percentile of the time to write a DMA request, or to read it, in place, clock included."
        ),
        Column(
            "write_ns_max", \.writeNsMax, unit: "ns",
            "Longest time to write a DMA request, or to read it, in place, clock included."),
        Column(
            "unpin_ns_p50", \.unpinNsP50, unit: "ns",
            "Median time to unpin a DMA request, in place, clock included."),
        Column(
            "unpin_ns_p99", \.unpinNsP99, unit: "ns",
            "99th percentile of the time to unpin a DMA request, in place, clock included."),
        Column(
            "unpin_ns_max", \.unpinNsMax, unit: "ns",
            "Longest time to unpin a DMA request, in place, clock included."),
        Column(
            "dma_ns_p50", \.dmaNsP50, unit: "ns",
            "Median time of a DMA request from pin to unpin, both included."),
        Column(
            "dma_ns_p99", \.dmaNsP99, unit: "ns",
            "99th percentile of the time of a DMA request from pin to unpin, both included."),
        Column(
            "sync_share", \.syncShare,
            "(pin + unpin) / (pin + write + unpin), of the total time of this row."),
        Column(
            "write_bytes_per_s", \.writeBytesPerS, unit: "B/s",
            "Bytes written or read, divided by the time in that."),
        Column(
            "pair_hot_ns", \.pairHotNs, unit: "ns",
            "A pin and an unpin of the same request in a warm loop without a write: median of batches."
        ),
        Column("conversions", \.conversions, "Page state changes that were carried out."),
        Column(
            "conversions_denied", \.conversionsDenied,
            "Page state changes that were refused, at once or at the deadline: a page was held."),
        Column(
            "conversions_waited", \.conversionsWaited,
            "Page state changes that were carried out after waiting for a pin."),
        Column(
            "conversions_revoked", \.conversionsRevoked,
            "Page state changes that were carried out after a device let go of a pin."),
        Column(
            "convert_ns_p50", \.convertNsP50, unit: "ns",
            "Median time of a page state change from when it should have started to its end."),
        Column(
            "convert_ns_p99", \.convertNsP99, unit: "ns",
            "99th percentile of the time of a page state change, from when it should have started."
        ),
        Column(
            "convert_ns_max", \.convertNsMax, unit: "ns",
            "Longest time of a page state change, from when it should have started."),
        Column(
            "violations_private", \.violationsPrivate,
            "Pages that were written while they were private, as their canaries tell."),
        Column(
            "violations_stale", \.violationsStale,
            "Pages that were converted while a device had them pinned."),
        Column(
            "faults", \.faults, "Stores of devices that faulted, since the page had become private."
        ),
        Column(
            "leaked_pins", \.leakedPins,
            "Pins left when every device had ended its turn, or had been recovered."),
        Column(
            "metadata_bytes", \.metadataBytes, unit: "B",
            "Shared memory that makes the strategy work for this guest, beside what each pin takes; for perpage the RMP table."
        ),
        Column(
            "setup_psc_ns", \.setupPscNs, unit: "ns",
            "Time in which the guest shared its buffers before the first request."),
        Column(
            "setup_pin_ns", \.setupPinNs, unit: "ns", "Time of the pins taken at set-up."),
        Column(
            "splits", \.splits, "2 MiB entries that the conversion of a 4 KiB page split."),
        Column(
            "copy_ns_p50", \.copyNsP50, unit: "ns",
            "Median time of the guest's copy of a DMA request out of a bounce buffer."),
        Column("clock_ns", \.clockNs, unit: "ns", "Cost of one reading of the clock."),
        Column(
            "noisy", \.noisy,
            "What disturbed the turn: cpu, gaps, sibling, waiting, throttled, faults, moved, stopped, oversubscribed, warmup, samples."
        ),
        Column(
            "status", \.status,
            "ok, interrupted, violation, failed:reason or unavailable:reason."),
        Column("env", \.env, "Hash of the stable part of the environment."),
        Column(
            "outside_share", \.outsideShare,
            "Share of the requests' wall time outside pin, write and unpin: driver, queue, oracle."),
        Column(
            "enforce", \.enforce,
            "Whether private pages were write-protected in the devices: none or mmu."),
        Column("on_fault", \.onFault, "What a device does whose write faults."),
        Column(
            "lost_bytes", \.lostBytes, unit: "B",
            "Bytes that devices wrote, or gave up writing, which the guest never got."),
        Column(
            "surprises", \.surprises,
            "Pages that the hypervisor had made shared again against the guest's will, counted when the guest next asked for them."
        ),
        Column(
            "recovery_ns_mean", \.recoveryNsMean, unit: "ns",
            "Mean time from a fault until the write went on or was given up."),
        Column(
            "recovery_ns_max", \.recoveryNsMax, unit: "ns",
            "Longest time from a fault until the write went on or was given up."),
        Column(
            "convert_to", \.convertTo,
            "What shared pages become: private, or free, which leaves a hole in guest memory."),
        Column(
            "pool_bytes", \.poolBytes, unit: "B",
            "Pool of each device, from which the guest copies; a larger request goes in pieces."),
        Column(
            "buffers", \.buffers, "Where the devices' buffers lie: disjoint, same, or adjacent."),
        Column(
            "shared_pages", \.sharedPages, "Pages that more than one device writes."),
        Column(
            "shared_lines", \.sharedLines,
            "Cache lines of RMP entries in which devices have different pages: false sharing."),
        Column(
            "retries", \.retries,
            "Pins tried again since a page was being converted: real conflict, of all requests."),
        Column(
            "cache_bytes", \.cacheBytes, unit: "B",
            "What each device keeps pinned between requests at most."),
        Column(
            "cache_hits", \.cacheHits,
            "Pins of a range that a device had kept, in all requests of the turn, warm-up included."
        ),
        Column(
            "cache_misses", \.cacheMisses,
            "Pins of a range that a device had not kept, in the same requests."),
        Column(
            "cache_merges", \.cacheMerges,
            "Kept pins that became part of a larger one, since a range overlapped them."),
        Column(
            "cache_invalidations", \.cacheInvalidations,
            "Kept pins that devices let go of for a page state change."),
        Column(
            "cache_evictions", \.cacheEvictions,
            "Kept pins that devices let go of to stay within a limit, least recently used first."),
        Column(
            "plan", \.plan,
            "Hash of everything that decides what a run measures, but for the number of rounds."),
        Column(
            "revision", \.revision,
            "Git revision of the program, with a plus where there were uncommitted changes."),
        Column(
            "convert_ns_cdf", \.convertNsCdf, unit: "ns",
            "Times, as in convert_ns_p50, that \(distributionPercents) % of the page state changes did not exceed."
        ),
        Column(
            "exclusion", \.exclusion,
            "What stands between a device and a private page: pins, faults, frames, or bounce, a pool."
        ),
        Column(
            "convert_loop", \.convertLoop,
            "open, each page state change due at convert_rate_hz, or closed, one after the other."),
        Column(
            "denied_share", \.deniedShare,
            "Page state changes that were refused since a page was held, of all asked for."),
        Column(
            "denied_ns_max", \.deniedNsMax, unit: "ns",
            "Longest time in which every page state change was refused, from when the first should have started."
        ),
        Column(
            "convert_wait_ns_max", \.convertWaitNsMax, unit: "ns",
            "Longest time that a page state change waited for pins, carried out or refused at its deadline."
        ),
        Column(
            "pin_wait_ns_max", \.pinWaitNsMax, unit: "ns",
            "Longest time that a DMA request waited for a page state change, until it had its pins or gave up."
        ),
        Column(
            "pin_limit_bytes", \.pinLimitBytes, unit: "B",
            "Cap on what the guest's devices hold pinned at once, each an equal part of it."),
        Column(
            "clock_step_ns", \.clockStepNs, unit: "ns",
            "Step in which the clock counts: no single time is known better."),
        Column(
            "pin_ns_mean", \.pinNsMean, unit: "ns",
            "Exact mean time to pin a DMA request, in place, clock included."),
        Column(
            "unpin_ns_mean", \.unpinNsMean, unit: "ns",
            "Exact mean time to unpin a DMA request, in place, clock included."),
        Column(
            "convert_call_ns_p50", \.convertCallNsP50, unit: "ns",
            "Median time of a page state change from its begin to its end: what strategy, table and waiting took."
        ),
        Column(
            "convert_call_ns_p99", \.convertCallNsP99, unit: "ns",
            "99th percentile of the time of a page state change from its begin to its end."),
        Column(
            "convert_undisturbed_ns_p99", \.convertUndisturbedNsP99, unit: "ns",
            "As convert_ns_p99, of the page state changes during which nobody took the vCPU's processor away."
        ),
        Column(
            "conversions_disturbed", \.conversionsDisturbed,
            "Page state changes that convert_undisturbed_ns_p99 leaves out."),
        Column(
            "convert_check_ns_mean", \.convertCheckNsMean, unit: "ns",
            "Mean time within a page state change that the harness's own checks took; subtracted from its times."
        ),
        Column(
            "denied_call_ns_p50", \.deniedCallNsP50, unit: "ns",
            "Median time of a page state change that was refused, from its begin."),
        Column(
            "denied_call_ns_p99", \.deniedCallNsP99, unit: "ns",
            "99th percentile of the time of a page state change that was refused, from its begin."),
        Column(
            "conversions_busy", \.conversionsBusy,
            "Refused page state changes of which nobody could tell in time whether a page was held."
        ),
        Column(
            "convert_wait", \.convertWait,
            "How a page state change waits: poll, its vCPU goes on meanwhile, or block, a thread sleeps."
        ),
        Column(
            "notify", \.notify,
            "Who sleeps until notified: poll, nobody; devices; eventfd, devices and vCPUs."),
        Column(
            "device_busy", \.deviceBusy,
            "Share of the measured time, also before its first request, that each device was within one, in their order."
        ),
        Column(
            "device_gaps", \.deviceGaps,
            "Times in which something took more than 10 us from a device while it waited for requests."
        ),
        Column(
            "device_gap_share", \.deviceGapShare,
            "Share of its measured time that went in such gaps, of the device that lost most."),
        Column(
            "device_gap_ns_max", \.deviceGapNsMax, unit: "ns", "Longest such gap of any device."),
        Column(
            "device_shared_share", \.deviceSharedShare,
            "Share of looks at a device's core that found its other hardware thread busy, of the worst."
        ),
        Column(
            "device_wait_share", \.deviceWaitShare,
            "Share of its measured time that a device waited for its processor, as the kernel says, of the worst."
        ),
        Column(
            "device_preempted", \.devicePreempted,
            "Times that the kernel took the processor from a device."),
        Column(
            "device_faults", \.deviceFaults, "Page faults of devices in their measured time."),
        Column(
            "vcpu_gaps", \.vcpuGaps,
            "Times in which something took more than 10 us from a vCPU that had no such work."),
        Column(
            "vcpu_gap_share", \.vcpuGapShare,
            "Share of its measured time that went in such gaps, of the vCPU that lost most."),
        Column("vcpu_gap_ns_max", \.vcpuGapNsMax, unit: "ns", "Longest such gap of any vCPU."),
        Column(
            "vcpu_shared_share", \.vcpuSharedShare,
            "Share of looks at a vCPU's core that found its other hardware thread busy, of the worst."
        ),
        Column(
            "vcpu_wait_share", \.vcpuWaitShare,
            "Share of its measured time that a vCPU waited for its processor, as the kernel says, of the worst."
        ),
        Column(
            "vcpu_preempted", \.vcpuPreempted,
            "Times that the kernel took the processor from a vCPU."),
        Column("vcpu_faults", \.vcpuFaults, "Page faults of vCPUs in their measured time."),
        Column(
            "vcpu_step_ns_max", \.vcpuStepNsMax, unit: "ns",
            "Longest conversion or part of a copy on a vCPU: so long may another one that is due wait."
        ),
        Column(
            "throttled_ns", \.throttledNs, unit: "ns",
            "Time in the turn for which a CPU quota kept harness and devices from running."),
        Column(
            "stops", \.stops,
            "Times that the harness or a device was stopped by a signal and went on."),
        Column(
            "ran_cpu", \.ranCpu,
            "CPUs on which the devices and then the vCPUs in fact ran at the end of the turn."),
        Column(
            "spread_bytes", \.spreadBytes, unit: "B",
            "Memory that the ranges of a request are drawn from; empty where they lie one behind the other."
        ),
        Column(
            "guest", \.guest,
            "Who drives the device: empty, the harness's own guest; vhost-user, a real one, and trace, what one was recorded to send: requests of any size."
        ),
        Column(
            "store", \.store,
            "Where a real guest's data is: null, nowhere; fill, written by the engine; memory; file."
        ),
        Column("queues", \.queues, "Queues that a real guest was offered."),
        Column(
            "in_requests", \.inRequests,
            "Completed requests that wrote the memory of a real guest, or of a trace's."),
        Column("in_bytes", \.inBytes, unit: "B", "Bytes that those asked for."),
        Column(
            "out_requests", \.outRequests,
            "Completed requests that read the memory of a real guest, or of a trace's."),
        Column("out_bytes", \.outBytes, unit: "B", "Bytes that those asked for."),
        Column(
            "segments_p50", \.segmentsP50,
            "Median number of segments in the data of a real guest's request, or a trace's."),
        Column(
            "segments_p99", \.segmentsP99,
            "99th percentile of the number of segments in a real guest's request, or a trace's."),
        Column(
            "segments_max", \.segmentsMax, "Most segments in a real guest's request, or a trace's."),
        Column(
            "depth_p50", \.depthP50,
            "Median number of requests that a real guest waited for on a queue when one was taken."),
        Column("depth_max", \.depthMax, "Most requests that a real guest waited for on a queue."),
        Column(
            "page_waits", \.pageWaits,
            "Pins of a real guest's requests that waited for a page, private or in conversion."),
        Column(
            "device_cpu_ns", \.deviceCpuNs, unit: "ns",
            "Processor time of the device's process from its first request to the turn's end."),
        Column(
            "convert_hold_ns", \.convertHoldNs, unit: "ns",
            "For how long the converter kept a page of a real guest before it gave it back."),
        Column(
            "dma_rate_hz", \.dmaRateHz, unit: "1/s",
            "DMA requests that fall due for each device in a second; empty in a closed loop."),
        Column(
            "dma_arrivals", \.dmaArrivals,
            "How requests that fall due at a rate follow each other: poisson or fixed; empty in a closed loop."
        ),
        Column(
            "depth", \.depth, "Most requests of a device that its driver keeps in flight at once."),
        Column(
            "idle_ns", \.idleNs, unit: "ns",
            "Pause from a DMA request's end to the next one in a closed loop."),
        Column(
            "due_ns_p50", \.dueNsP50, unit: "ns",
            "Median time of a DMA request from when it was due until the guest had it back; empty of a closed loop without a pause and with one in flight."
        ),
        Column(
            "due_ns_p99", \.dueNsP99, unit: "ns",
            "99th percentile of the time of a DMA request from when it was due until the guest had it back."
        ),
        Column(
            "backlog_max", \.backlogMax,
            "Most DMA requests of a device that were due and not yet submitted at any time."),
        Column(
            "direction", \.direction,
            "Whether devices write guest memory, read it, or both: of mixed:N, N of a hundred requests are reads."
        ),
        Column(
            "read_engine", \.readEngine, "Instructions that the device reads with."),
        Column(
            "trace", \.trace,
            "File whose recorded requests drove the device, and a hash of its content: NAME@HASH."),
        Column(
            "speed", \.speed,
            "How many times faster than recorded the trace was replayed; max, as fast as it went."),
    ]

    /// `1, 5, ... 100`, as the meaning of `convert_ns_cdf` names them.
    private static var distributionPercents: String {
        Row.distributionPercents.map { JSON($0).compact }.joined(separator: ", ")
    }

    private static let byName = Dictionary(uniqueKeysWithValues: columns.map { ($0.name, $0) })

    /// The column of that name; nil where this version has none.
    public static func column(_ name: String) -> Column? { byName[name] }

    /// The list itself as CSV: column, type, unit, meaning.
    public static var csv: String {
        entries.map { CSV.line($0) }.joined()
    }

    /// The list itself for people, aligned.
    public static var table: String {
        Text.aligned(entries)
    }

    private static var entries: [[String]] {
        [["column", "type", "unit", "meaning"]]
            + columns.map { [$0.name, $0.type, $0.unit, $0.meaning] }
    }
}
