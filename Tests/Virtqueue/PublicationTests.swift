import DmaLinux
import GuestMemory
import Testing
import Virtqueue

/// An index tells that an entry is there: neither side may see the first and miss the second.
@Suite struct PublicationTests {
    /// Three requests in flight in a queue of eight: at each place of a ring lies, from a lap ago, another request's.
    @Test func everyRequestComesAndGoesWhole() throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 8, requests: 3, dataDescriptors: 6)
        let rounds: UInt64 = 30_000
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        let stop = StopFlag()
        let worker = try WorkerThread(name: "device") {
            var device = Device(layout, at: GFN(0), in: view)
            var served: UInt64 = 0
            var backoff = Backoff()
            while !stop.isSet {
                guard case .empty = device.next() else {
                    let (generation, ranges) = (device.request.sector, device.request.ranges)
                    served += 1
                    backoff = Backoff()
                    if generation != served || ranges != [page(20 + 2 * (served % 3))] {
                        Issue.record("request \(served) came as \(generation), \(ranges)")
                    }
                    device.complete()
                    continue
                }
                backoff.pause()
            }
        }
        let outcome = Result { try submit(rounds, to: &driver) }
        stop.set()
        worker.join()
        try outcome.get()
    }

    private func submit(_ rounds: UInt64, to driver: inout DriverQueue) throws {
        let requests = try [20, 22, 24].map { try driver.prepare(data: [page($0)]) }
        var (submitted, completed) = (UInt64(0), UInt64(0))
        var backoff = Backoff()
        while completed < rounds {
            while submitted - completed < 3 {
                submitted += 1
                driver.submit(requests[Int(submitted % 3)], generation: submitted)
            }
            guard let completion = try driver.poll() else {
                backoff.pause()
                continue
            }
            completed += 1
            backoff = Backoff()
            let isWhole =
                completion.generation == completed && completion.usedLength == 4096 + 1
                && completion.status == .ok
            if !isWhole { Issue.record("request \(completed) ended as \(completion)") }
        }
    }

    /// The head is one word that the guest may change at any time: it is good, or the queue is broken.
    @Test func aHeadThatChangesIsReadOnce() throws {
        let guest = HandBuiltQueue(
            view: try guestMemory(pages: 64),
            layout: try VirtqueueLayout(queueSize: 8, dataDescriptors: 6), start: GFN(20))
        guest.setChain(guest.validChain(pages: [40]))
        guest.publish(head: 0, index: 0)
        let stop = StopFlag()
        let flipper = try WorkerThread(name: "flipper") {
            while !stop.isSet {
                for head in [UInt16(0), 0xffff] {
                    guest.store(head, at: guest.layout.availableRingOffset + 4)
                }
            }
        }
        var (accepted, broken) = (0, 0)
        for _ in 0..<20_000_000 where accepted < 50_000 || broken < 50_000 {
            var device = Device(guest)
            switch device.next() {
            case .valid where device.request.head == 0: accepted += 1
            case .broken(.headOutOfRange(0xffff)): broken += 1
            case let answer: Issue.record("\(answer) with head \(device.request.head)")
            }
        }
        stop.set()
        flipper.join()
        #expect(accepted >= 50_000 && broken >= 50_000)
    }
}

private func page(_ number: UInt64) -> PageRange { PageRange(start: number, count: 1) }
