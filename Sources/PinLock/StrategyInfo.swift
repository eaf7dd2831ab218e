/// What a strategy is and what it asks of those around it: stated once, by the strategy itself.
///
/// The texts are for people: `dma-bench strategies` prints them. Whoever lays a guest out, runs it or draws what came of
/// it asks the facts, and knows no strategy by its name.
public struct StrategyInfo: Sendable {
    public let name: String
    /// How it works, in a line.
    public let summary: String
    /// Whether it promises that no page is ever both pinned and private.
    public let isSafe: Bool
    /// Who pays what for it.
    public let cost: String
    public let policies: [ConflictPolicy.Kind]
    /// What it needs from the kernel; nil for nothing.
    public let kernelNeeds: String?
    /// What does the same out in the world, with the source.
    public let precedent: String
    /// With which strategies it shares a colour in pictures.
    public let family: StrategyFamily
    /// Its number in the family, from 0, which tells it from the others there.
    public let place: Int

    /// Whether a device pins its buffers at set-up, as a whole.
    public let pinsBuffers: Bool
    /// Whether requests name pages of a pool, which is shared for good: the guest copies from there to its buffers.
    public let needsPool: Bool
    /// Whether the devices' page tables keep them from private pages: the hypervisor protects a page in every device
    /// before its conversion commits, which is part of what that costs, and a device's store there faults.
    public let protectsPages: Bool
    /// Whether private pages lie in frames of their own, which no device maps.
    public let hasPrivateFrames: Bool
    /// Whether the hypervisor has to run `serve` for each device.
    public let isServed: Bool

    public init(
        name: String, summary: String, isSafe: Bool, cost: String,
        policies: [ConflictPolicy.Kind], kernelNeeds: String?, precedent: String,
        family: StrategyFamily, place: Int,
        pinsBuffers: Bool = false, needsPool: Bool = false, protectsPages: Bool = false,
        hasPrivateFrames: Bool = false, isServed: Bool = false
    ) {
        self.name = name
        self.summary = summary
        self.isSafe = isSafe
        self.cost = cost
        self.policies = policies
        self.kernelNeeds = kernelNeeds
        self.precedent = precedent
        self.family = family
        self.place = place
        self.pinsBuffers = pinsBuffers
        self.needsPool = needsPool
        self.protectsPages = protectsPages
        self.hasPrivateFrames = hasPrivateFrames
        self.isServed = isServed
    }

    /// Whether pages that are pinned keep their state: then a conversion under a write breaks the promise. Where
    /// something else keeps devices away, pages are converted under the write, and what it wrote there is lost.
    public var promisesByPins: Bool { !protectsPages && !hasPrivateFrames }

    /// What stands between a device's store and a private page, in the word that rows have for it.
    public var exclusion: String {
        if protectsPages { return "faults" }
        if hasPrivateFrames { return "frames" }
        return needsPool ? "bounce" : "pins"
    }
}

/// Strategies that work alike: pictures show them in one colour.
public enum StrategyFamily: CaseIterable, Sendable {
    /// Each page has a count of its own.
    case pages
    /// A tree knows which ranges are open.
    case tree
    /// Pins outlive the DMA.
    case keepers
    /// Ranges are listed under a lock.
    case lists
    /// The device asks for each pin: the hypervisor, or the kernel.
    case askers
    /// The device has no way to a private page, and pins nothing for a DMA.
    case detours
    /// It does not keep private pages private.
    case unsafe
}
