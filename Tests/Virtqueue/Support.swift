import DmaLinux
import GuestMemory
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

    func store(_ value: UInt8, at offset: Int) {
        word(UInt8.self, at: offset).pointee.store(value, ordering: .releasing)
    }

    func load(_: UInt8.Type, at offset: Int) -> UInt8 {
        word(UInt8.self, at: offset).pointee.load(ordering: .acquiring)
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

    func setHeader(type: UInt32 = 0, sector: UInt64 = 7) {
        store(type, at: layout.recordsOffset)
        store(sector, at: layout.recordsOffset + 8)
    }

    /// Where this guest keeps its header and its status.
    var headerAddress: UInt64 { area.start.address + UInt64(layout.recordsOffset) }
    var statusAddress: UInt64 { headerAddress + 32 }
    var indirectAddress: UInt64 { area.start.address + UInt64(layout.indirectTablesOffset) }

    var header: RawDescriptor { RawDescriptor(headerAddress, 16, RawDescriptor.next, next: 1) }
    var status: RawDescriptor { RawDescriptor(statusAddress, 1, RawDescriptor.write) }

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

/// Copies what is not registered, or refuses to, and remembers where that lay.
struct TestReader: GuestReader {
    var refuses: (PageRange) -> Bool = { _ in false }
    private(set) var asked: [PageRange] = []

    mutating func copy(
        _ source: UnsafeRawBufferPointer, in pages: PageRange, to target: UnsafeMutableRawPointer
    ) -> Bool {
        asked.append(pages)
        guard !refuses(pages) else { return false }
        target.copyMemory(from: source.baseAddress!, byteCount: source.count)
        return true
    }
}

/// The device's side of a queue with a request to fill.
struct Device: ~Copyable {
    var queue: DeviceQueue
    var request: DeviceRequest
    var reader = TestReader()
    let view: GuestView

    init(_ guest: HandBuiltQueue) {
        self.init(guest.layout, at: guest.start, in: guest.view)
    }

    init(
        _ layout: VirtqueueLayout, at start: GFN, in view: GuestView, usesEventIndex: Bool = false
    ) {
        try! self.init(
            layout.rings(at: start, usesEventIndex: usesEventIndex),
            registered: [layout.area(at: start)], in: view)
    }

    init(
        _ rings: VirtqueueRings, registered: [PageRange], in view: GuestView,
        available: UInt16 = 0, used: UInt16 = 0
    ) throws(RingError) {
        queue = try DeviceQueue(
            rings, registered: registered, in: view, available: available, used: used)
        request = DeviceRequest(queueSize: rings.queueSize)
        self.view = view
    }

    mutating func next() -> NextRequest {
        queue.next(into: &request, from: view, reading: &reader)
    }

    /// Where it ends well, all data has been moved.
    mutating func complete(_ status: RequestStatus = .ok) {
        let isWritten = status == .ok && request.type == .in
        queue.complete(
            &request, with: status, bytesWritten: isWritten ? request.byteCount.rawValue : 0)
    }
}

extension DeviceRequest {
    /// The data as an array.
    var segments: [DataSegment] {
        var all: [DataSegment] = []
        for index in 0..<segmentCount { all.append(segment(index)) }
        return all
    }
}
