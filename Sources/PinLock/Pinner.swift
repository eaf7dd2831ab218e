import DmaLinux
import GuestMemory

/// A way of keeping devices' pins and the guest's conversions apart: one device's side.
public protocol Pinner: AnyObject {
    /// Pins every page of every range, or none: what a request needs, for a single token.
    ///
    /// There are one range at least and `Pin.rangeLimit` at most; in any order, and they may touch or overlap. Two pins of a
    /// page, in one list or in two, count twice.
    ///
    /// Acquires: what the conversions that made these pages shared did before is visible after it.
    func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin

    /// The same for a pin that lasts much longer than a request, as of a queue's rings: outside what is registered, so that
    /// this is let go and evicted as if the pin were not there. `unpin` gives it back.
    func pinToKeep(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin

    /// Gives a pin back. Releases: every store of the DMA is ordered before it, once non-temporal ones are fenced.
    func unpin(_ pin: Pin)

    /// Takes what the strategy wants pinned from set-up on. Untimed by the request, timed by the set-up.
    func register(_ ranges: [PageRange]) throws(PinRefusal)

    /// Gives back what `register` took.
    func unregister()

    /// Lets long-lived pins go that a conversion waits for. Cheap when there is nothing to do; call it between
    /// requests.
    func serviceRevocations()

    /// What the kernel said when it last refused the device a pin: `PinRefusal.tooManyPins` has no room for it. Nil
    /// where it has refused none.
    var kernelRefusal: SystemError? { get }
}

extension Pinner {
    /// Pins every page of the range, or none.
    @inline(__always)
    public func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
        let list: InlineArray<1, PageRange> = [range]
        return try pin(list.span)
    }

    public func pinToKeep(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin { try pin(ranges) }
    public var kernelRefusal: SystemError? { nil }
    public func register(_ ranges: [PageRange]) throws(PinRefusal) {}
    public func unregister() {}
    public func serviceRevocations() {}
}

/// What a device's process has besides the arena.
public struct DeviceSurroundings {
    /// Guest memory as the process maps it.
    public let memory: GuestView
    /// A packet socket, at whose other end the hypervisor runs the strategy's `serve`.
    public let hypervisor: Int32

    public init(memory: GuestView, hypervisor: Int32) {
        self.memory = memory
        self.hypervisor = hypervisor
    }
}

/// What a device asks of a hypervisor that serves it: to have this page shared again. The answer is a Bool.
public struct PageRequest: BitwiseCopyable, Sendable {
    public let gfn: GFN

    /// No page: the device asks for nothing more.
    static let none = GFN(UInt64.max)

    public init(gfn: GFN) { self.gfn = gfn }
}
