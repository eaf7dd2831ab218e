import ArgumentParser
import DmaWriter
import Experiment
import GuestMemory
import PinLock
import Settings

/// How the devices work, and what they work on.
struct DeviceOptions: RequestOptions {
    @Option(Self.engineOption) var engine = "nt"
    @Option(Self.lanesOption) var lanes = "1"
    @Option(Self.backingOption) var backing = "memfd"
    @Option(Self.entryOption) var entry = "4K"
    @Option(Self.poolOption) var pool: String?
    @Option(Self.cacheOption) var cache: String?
    @Option(Self.pinLimitOption) var pinLimit: String?
    @Option(Self.misalignOption) var misalign = "0"
    @Option(Self.guestMemoryOption) var guestMemory: String?
    @Option(Self.notifyOption) var notify = "poll"
    @Option(Self.enforceOption) var enforce = "none"
    @Option(Self.onFaultOption) var onFault: String?
    @Flag(help: Self.noWriteOption.help) var noWrite = false

    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (engineOption, { $0.engine }), (lanesOption, { $0.lanes }),
        (backingOption, { $0.backing }), (entryOption, { $0.entry }), (poolOption, { $0.pool }),
        (cacheOption, { $0.cache }), (pinLimitOption, { $0.pinLimit }),
        (misalignOption, { $0.misalign }), (guestMemoryOption, { $0.guestMemory }),
        (notifyOption, { $0.notify }), (enforceOption, { $0.enforce }),
        (onFaultOption, { $0.onFault }), (noWriteOption, { $0.noWrite ? "yes" : "no" }),
    ]

    private static let engineOption = RequestOption(
        "engine", "How the device writes: nt, stosq, memset, copy, file (list).",
        .cases(formerly: ["movsb": .stosq]),
        varies: \.engine
    ).column(\.engine) { $0.settings.stores ? $0.settings.engine.rawValue : "none" }

    private static let lanesOption = RequestOption(
        "lanes", "Threads of a device that write; it reads with one.", .count(1...64), sets: \.lanes
    ).column(\.lanes) { $0.settings.lanes }

    private static let backingOption = RequestOption(
        "backing", "Guest memory: memfd, hugetlb-2m, hugetlb-1g, thp (list).", .cases(),
        varies: \.backing
    ).column(\.backing) { $0.settings.backing.rawValue }

    private static let entryOption = RequestOption(
        "entry", "Size of RMP entries: 4K or 2M.", .names([("4K", .small), ("2M", .large)]),
        sets: \.entrySize
    ).column(\.entryBytes) { $0.settings.entrySize.rawValue }

    private static let poolOption = RequestOption(
        "pool", "Pool of each device under strategy bounce; default: as large as the request.",
        ValueForm.size.orNil, sets: \.pool
    ).column(\.poolBytes) { $0.pool?.bytes.rawValue }
        .used { $0.info.needsPool }

    private static let cacheOption = RequestOption(
        "cache",
        "What each device under strategy pincache keeps pinned between requests at most; default: as much as the request.",
        ValueForm.size.orNil, sets: \.cache
    ).column(\.cacheBytes) { $0.settings.cache?.bytes.rawValue }
        .used { $0.isCached }

    private static let pinLimitOption = RequestOption(
        "pin-limit",
        "Cap on what the devices hold pinned at once, an equal part each; default: none.",
        ValueForm.size.orNil, sets: \.pinLimit
    ).column(\.pinLimitBytes) { $0.settings.pinLimit?.bytes.rawValue }

    private static let misalignOption = RequestOption(
        "misalign", "Pages by which buffers miss their natural alignment (range).",
        .pages(0...PageRange.frameLimit - 1), varies: \.misalignment
    ).column(\.misalignBytes) { $0.settings.misalignment.bytes.rawValue }

    private static let guestMemoryOption = RequestOption(
        "guest-memory", "Memory of the guest; default: its buffers, queues and 64M.",
        ValueForm.size.orNil,
        sets: \.guestMemory)

    private static let notifyOption = RequestOption(
        "notify", "How device and driver tell each other: poll or eventfd.",
        .names([("poll", false), ("eventfd", true)]), sets: \.usesEventfd)

    private static let enforceOption = RequestOption(
        "enforce",
        "Write-protect private pages in the devices, so that a wrong store is stopped: none, mmu.",
        .names([("none", false), ("mmu", true)]), sets: \.enforces
    ).column(\.enforce) { $0.settings.enforces ? "mmu" : "none" }

    private static let onFaultOption = RequestOption(
        "on-fault",
        "What a device under strategy fault does that faults: abort, retry, convert-back; default: abort.",
        .cases(), sets: \.faultPolicy
    ).column(\.onFault) {
        $0.strategy.info.protectsPages ? $0.settings.faultPolicy.rawValue : nil
    }.used { $0.info.protectsPages }

    private static let noWriteOption = RequestOption(
        "no-write", "Pin and unpin only: no write, for guests far larger than memory.",
        .names([("no", true), ("yes", false)]), sets: \.writes)
}
