import GuestMemory
import Linux
import Synchronization
import Testing
import Virtqueue

/// Sparse guest memory of `pages` pages.
func guestMemory(pages: UInt64) throws -> GuestView {
    GuestView(try SharedMapping.create(name: "virtqueue-test", byteCount: Int(pages * pageSize)))
}

/// A descriptor as a guest writes it, right or wrong: VIRTIO 1.2, 2.7.5.
struct RawDescriptor: Equatable {
    static let next: UInt16 = 1
    static let write: UInt16 = 2
    static let indirect: UInt16 = 4

    var address: UInt64
    var length: UInt32
    var flags: UInt16
    var next: UInt16

    init(_ address: UInt64, _ length: UInt32, _ flags: UInt16, next: UInt16 = 0) {
        self.address = address
        self.length = length
        self.flags = flags
        self.next = next
    }

    var words: (UInt64, UInt64) {
        (address, UInt64(length) | UInt64(flags) << 32 | UInt64(next) << 48)
    }
}

/// A guest that writes its queue by hand, knowing nothing but the layout.
struct HandBuiltQueue: Sendable {
    let view: GuestView
    let layout: VirtqueueLayout
    let start: GFN
    let area: PageRange
    /// Memory behind it is touched through atomics only.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer

    init(view: GuestView, layout: VirtqueueLayout, start: GFN) {
        self.view = view
        self.layout = layout
        self.start = start
        area = layout.area(at: start)
        base = view.pointer(to: area)
    }

    private func word<Value: AtomicRepresentable>(
        _: Value.Type, at offset: Int
    ) -> UnsafeMutablePointer<Atomic<Value>> {
        (base + offset).assumingMemoryBound(to: Atomic<Value>.self)
    }

    func store(_ value: UInt16, at offset: Int) {
        word(UInt16.self, at: offset).pointee.store(value, ordering: .releasing)
    }
    func store(_ value: UInt32, at offset: Int) {
        word(UInt32.self, at: offset).pointee.store(value, ordering: .releasing)
    }
    func store(_ value: UInt64, at offset: Int) {
        word(UInt64.self, at: offset).pointee.store(value, ordering: .releasing)
    }

    func load(_: UInt16.Type, at offset: Int) -> UInt16 {
        word(UInt16.self, at: offset).pointee.load(ordering: .acquiring)
    }
    func load(_: UInt32.Type, at offset: Int) -> UInt32 {
        word(UInt32.self, at: offset).pointee.load(ordering: .acquiring)
    }
    func load(_: UInt64.Type, at offset: Int) -> UInt64 {
        word(UInt64.self, at: offset).pointee.load(ordering: .acquiring)
    }

    func set(_ descriptor: RawDescriptor, at index: Int, tableAt table: Int? = nil) {
        let offset = (table ?? layout.descriptorTableOffset) + 16 * index
        store(descriptor.words.0, at: offset)
        store(descriptor.words.1, at: offset + 8)
    }

    func descriptor(_ index: Int, tableAt table: Int? = nil) -> RawDescriptor {
        let offset = (table ?? layout.descriptorTableOffset) + 16 * index
        let rest = load(UInt64.self, at: offset + 8)
        return RawDescriptor(
            load(UInt64.self, at: offset), UInt32(truncatingIfNeeded: rest),
            UInt16(truncatingIfNeeded: rest >> 32), next: UInt16(truncatingIfNeeded: rest >> 48))
    }

    func setHeader(type: UInt32 = 1, generation: UInt64 = 7) {
        store(type, at: layout.recordsOffset)
        store(generation, at: layout.recordsOffset + 8)
    }

    /// Where this guest keeps its header and its status.
    var headerAddress: UInt64 { area.start.address + UInt64(layout.recordsOffset) }
    var statusAddress: UInt64 { headerAddress + 32 }
    var indirectAddress: UInt64 { area.start.address + UInt64(layout.indirectTablesOffset) }

    var header: RawDescriptor { RawDescriptor(headerAddress, 16, RawDescriptor.next, next: 1) }
    var status: RawDescriptor { RawDescriptor(statusAddress, 32, RawDescriptor.write) }

    func data(page: UInt64, pages: UInt32 = 1, next: UInt16) -> RawDescriptor {
        RawDescriptor(
            page * pageSize, pages * 4096, RawDescriptor.write | RawDescriptor.next, next: next)
    }

    /// Header, data, status in the descriptor table, each leading to the one behind it.
    func setChain(_ chain: [RawDescriptor], tableAt table: Int? = nil) {
        setHeader()
        for (index, descriptor) in chain.enumerated() {
            set(descriptor, at: index, tableAt: table)
        }
    }

    func validChain(pages: [UInt64]) -> [RawDescriptor] {
        let data = pages.enumerated().map { index, page in
            self.data(page: page, next: UInt16(index + 2))
        }
        return [header] + data + [status]
    }

    /// Makes the chain at `head` available as the `index`-th.
    func publish(head: UInt16, index: UInt16) {
        let position = Int(index) % layout.queueSize
        store(head, at: layout.availableRingOffset + 4 + 2 * position)
        store(index &+ 1, at: layout.availableRingOffset + 2)
    }

    var usedIndex: UInt16 { load(UInt16.self, at: layout.usedRingOffset + 2) }

    func usedElement(_ index: UInt16) -> (id: UInt32, length: UInt32) {
        let offset = layout.usedRingOffset + 4 + 8 * (Int(index) % layout.queueSize)
        return (load(UInt32.self, at: offset), load(UInt32.self, at: offset + 4))
    }
}

/// The device's side of a queue with a request to fill.
struct Device: ~Copyable {
    var queue: DeviceQueue
    var request: DeviceRequest

    init(_ guest: HandBuiltQueue) {
        queue = DeviceQueue(guest.layout, at: guest.start, in: guest.view)
        request = DeviceRequest(for: guest.layout)
    }

    init(_ layout: VirtqueueLayout, at start: GFN, in view: GuestView) {
        queue = DeviceQueue(layout, at: start, in: view)
        request = DeviceRequest(for: layout)
    }

    init(
        _ layout: VirtqueueLayout, at start: GFN, in view: GuestView, usesEventIndex: Bool
    ) throws(RingError) {
        queue = try DeviceQueue(
            layout.rings(at: start, usesEventIndex: usesEventIndex), area: layout.area(at: start),
            in: view)
        request = DeviceRequest(for: layout)
    }

    mutating func next() -> NextRequest { queue.next(into: &request) }

    mutating func complete(_ code: StatusCode = .ok, gfn: UInt64 = 0) {
        let bytes = code == .ok ? request.byteCount.rawValue : 0
        queue.complete(request, with: StatusRecord(code, gfn: GFN(gfn), bytesWritten: bytes))
    }
}
