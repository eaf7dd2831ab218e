/// The machine and the build that figures come from.
///
/// An allow-list: never the kernel command line, never the host's name, nothing that tells whose
/// machine it is.
public struct Environment: Sendable {
    /// What the program was built from; no part of `hash`, so that two versions on one machine can be compared.
    public let revision: String
    /// What figures depend on, and what stays until somebody changes a setting, the kernel or the machine.
    public let stable: JSON
    /// What changes by itself on one machine, and what decides no more than which strategies can run.
    ///
    /// Memory is among it: a balloon or memory that is plugged in moves MemTotal from one minute to the next, surplus
    /// pages move the pools of huge pages (mm/hugetlb.c), and a module that is loaded or a guest that is started
    /// changes what the kernel says of KVM.
    public let volatile: JSON
    /// The step of the clock, in nanoseconds; nil where nobody has measured it. It comes with every run anew, right to
    /// some tenths of a percent, and so is no part of `hash`.
    public var clockStepNanoseconds: Double?
    /// What the processors have shown in a run; nil before one. No part of `hash` either: others may use them.
    public var processors: Processors?

    /// How much two processors and a core do.
    public struct Processors: Sendable {
        /// The work of two threads on two processors, relative to that of one alone: before the run, and after it.
        public let speedUp: Double?
        public let speedUpAtEnd: Double?
        /// The most adds a cycle that a core has done: about half of what it can do where its other hardware thread was
        /// busy all along.
        public let addsPerCycle: Double?

        public init(speedUp: Double?, speedUpAtEnd: Double?, addsPerCycle: Double?) {
            self.speedUp = speedUp
            self.speedUpAtEnd = speedUpAtEnd
            self.addsPerCycle = addsPerCycle
        }

        fileprivate var json: JSON {
            .object([
                JSON.Member("two_to_one", Environment.hundredths(speedUp)),
                JSON.Member("two_to_one_at_end", Environment.hundredths(speedUpAtEnd)),
                JSON.Member("adds_per_cycle", Environment.hundredths(addsPerCycle)),
            ])
        }
    }

    public init(revision: String, stable: JSON, volatile: JSON) {
        self.revision = revision
        self.stable = stable
        self.volatile = volatile
    }

    /// Differs where the stable part does: that of its compact JSON.
    public var hash: String { Text.hash(stable.compact) }

    /// Both parts and the hash, as `dma-bench env` prints them.
    public var json: JSON {
        .object([
            JSON.Member("env", .string(hash)), JSON.Member("revision", .string(revision)),
            JSON.Member("clock_step_ns", Self.hundredths(clockStepNanoseconds)),
            JSON.Member("processors", processors?.json ?? JSON.missing),
            JSON.Member("stable", stable), JSON.Member("volatile", volatile),
        ])
    }

    /// Finer than it is measured.
    private static func hundredths(_ value: Double?) -> JSON {
        value.map { JSON(($0 * 100).rounded() / 100) } ?? JSON.missing
    }

    /// Where the environment of the rows in a file lies.
    public static func path(beside rows: String) -> String { rows + ".env.json" }

    /// Replaces `path` by the pretty JSON in one step: a reader sees the old file or the new one.
    public func write(to path: String) throws(OutputError) {
        try OutputFile.replace(path, with: Array(json.pretty.utf8))
    }
}
