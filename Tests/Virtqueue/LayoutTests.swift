import GuestMemory
import Testing
import Virtqueue

@Suite struct LayoutTests {
    @Test(arguments: [(4, 1, 2), (4, 4, 1), (256, 256, 30), (1024, 7, 1000), (32768, 2, 32766)])
    func partsAreAlignedAndApart(queueSize: Int, requests: Int, dataDescriptors: Int) throws {
        let layout = try VirtqueueLayout(
            queueSize: queueSize, requests: requests, dataDescriptors: dataDescriptors)
        // VIRTIO 1.2, 2.7: alignment and size of each part.
        #expect(layout.descriptorTableOffset % 16 == 0)
        #expect(layout.availableRingOffset % 2 == 0)
        #expect(layout.usedRingOffset % 4 == 0)
        #expect(layout.indirectTablesOffset % 16 == 0)
        #expect(layout.availableRingOffset >= layout.descriptorTableOffset + 16 * queueSize)
        #expect(layout.usedRingOffset >= layout.availableRingOffset + 6 + 2 * queueSize)
        #expect(layout.indirectTablesOffset >= layout.usedRingOffset + 6 + 8 * queueSize)
        #expect(
            layout.recordsOffset
                >= layout.indirectTablesOffset + 16 * (dataDescriptors + 2) * requests)
        #expect(layout.recordsOffset % Int(pageSize) == 0)
        #expect(Int(layout.pages.bytes.rawValue) >= layout.recordsOffset + 64 * requests)
    }

    @Test(arguments: [-1, 0, 3, 100, 32767, 65536])
    func refusesQueueSize(_ size: Int) {
        #expect(throws: LayoutError.queueSize(size)) {
            try VirtqueueLayout(queueSize: size, dataDescriptors: 1)
        }
    }

    @Test(arguments: [-1, 0, 9])
    func refusesRequests(_ requests: Int) {
        #expect(throws: LayoutError.requests(requests, limit: 8)) {
            try VirtqueueLayout(queueSize: 8, requests: requests, dataDescriptors: 1)
        }
    }

    @Test(arguments: [(1, 1, 0), (2, 1, 0), (8, 0, 6), (8, 7, 6), (32768, 32767, 32766)])
    func refusesDataDescriptors(queueSize: Int, asked: Int, limit: Int) {
        #expect(throws: LayoutError.dataDescriptors(asked, limit: limit)) {
            try VirtqueueLayout(queueSize: queueSize, dataDescriptors: asked)
        }
    }
}
