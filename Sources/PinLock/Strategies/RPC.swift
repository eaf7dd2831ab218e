import DmaLinux
import GuestMemory

/// The device asks the hypervisor: userspace as control plane.
///
/// The idea: only the hypervisor touches the structures. For each pin and unpin the device sends a packet and waits
/// for the answer; a thread of the hypervisor, one for each device, does there what `rangetree` does.
///
/// Why no page is both pinned and private: each pin is one of the range tree, taken by the hypervisor.
///
/// Cost: the device pays a round trip through the scheduler for each range, twice; the hypervisor a thread per device.
/// What the range tree itself costs disappears in it.
///
/// Its precedents: vfio-user's DMA map messages; Sean Christopherson's sketch, in which the VMM alone decides what is
/// shared.
public struct RPC: StandsOnTree {
    public static let info = StrategyInfo(
        name: "rpc",
        summary: "the device asks the hypervisor over a socket, which pins through the range tree",
        isSafe: true,
        cost:
            "the device: two round trips through the scheduler per range; the hypervisor: a thread each",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "userspace as control plane: vfio-user's VFIO_USER_DMA_MAP (libvfio-user)",
        family: .askers, place: 1,
        isServed: true)

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    /// Without a process there is nobody to ask: the hypervisor's part alone.
    public func pinner(for device: DeviceID) -> Device { Device(.direct(tree.pinner(for: device))) }

    public func pinner(for device: DeviceID, in process: DeviceSurroundings) -> Device {
        Device(.remote(Asker(device, process.hypervisor)))
    }

    public final class Device: Pinner {
        enum Way {
            case direct(RangeTree.Device)
            case remote(Asker)
        }

        private let way: Way

        init(_ way: Way) { self.way = way }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            switch way {
            case .direct(let tree): try tree.pin(ranges)
            case .remote(let asker): try asker.pin(ranges)
            }
        }

        public func unpin(_ pin: Pin) {
            switch way {
            case .direct(let tree): tree.unpin(pin)
            case .remote(let asker): asker.unpin(pin)
            }
        }
    }

    public func serve(
        _ device: DeviceID, on socket: Int32, takeBack: (PageRange) -> Bool
    ) throws(SystemError) {
        let pinner = tree.pinner(for: device)
        let packet = Packet()
        while let question = try packet.receive(from: socket) {
            var answer = Answer()
            switch question {
            case .pin(let count):
                do throws(PinRefusal) {
                    answer.pin = try pinner.pin(packet.ranges(count).span)
                } catch {
                    answer.refusal = error
                }
            case .unpin(let pin):
                // A device is trusted: a token that nobody holds traps here, as it would there.
                pinner.unpin(pin)
            case .end:
                return
            }
            guard try PacketSocket.send(answer, to: socket) else { return }
        }
    }

    // MARK: What crosses the socket

    enum Question: BitwiseCopyable {
        /// So many ranges follow.
        case pin(Int)
        case unpin(Pin)
        case end
    }

    struct Answer: BitwiseCopyable {
        var refusal: PinRefusal?
        var pin: Pin?
    }

    /// A question, and the ranges behind it: one packet, in memory that is kept.
    final class Packet {
        private let bytes: UnsafeMutableRawBufferPointer
        private let ranges: UnsafeMutableBufferPointer<PageRange>

        init() {
            bytes = .allocate(
                byteCount: MemoryLayout<Question>.stride
                    + Journal.rangeLimit * MemoryLayout<PageRange>.stride,
                alignment: 16)
            ranges = UnsafeMutableRawBufferPointer(
                rebasing: bytes[MemoryLayout<Question>.stride...]
            ).bindMemory(to: PageRange.self)
        }

        deinit { bytes.deallocate() }

        /// What followed the last question, until the next one.
        func ranges(_ count: Int) -> UnsafeBufferPointer<PageRange> {
            UnsafeBufferPointer(rebasing: ranges[..<min(count, ranges.count)])
        }

        /// False where the other side has gone.
        func send(_ question: Question, to socket: Int32) throws(SystemError) -> Bool {
            try send(question, rangeCount: 0, to: socket)
        }

        func send(_ list: Span<PageRange>, to socket: Int32) throws(SystemError) -> Bool {
            precondition(list.count <= ranges.count, "a pin of \(list.count) ranges")
            for index in list.indices { ranges[index] = list[index] }
            return try send(.pin(list.count), rangeCount: list.count, to: socket)
        }

        private func send(
            _ question: Question, rangeCount: Int, to socket: Int32
        ) throws(SystemError) -> Bool {
            bytes.storeBytes(of: question, as: Question.self)
            let length =
                MemoryLayout<Question>.stride + rangeCount * MemoryLayout<PageRange>.stride
            return try PacketSocket.send(
                UnsafeRawBufferPointer(rebasing: bytes[..<length]), to: socket)
        }

        /// The next question; nil where the other side has gone.
        func receive(from socket: Int32) throws(SystemError) -> Question? {
            guard let length = try PacketSocket.receive(into: bytes, from: socket),
                length >= MemoryLayout<Question>.stride
            else { return nil }
            return bytes.loadUnaligned(as: Question.self)
        }
    }
}

/// The device's end of the socket. Where the hypervisor has gone, so has the device in the next moment.
final class Asker {
    private let device: DeviceID
    private let socket: Int32
    private let packet = RPC.Packet()

    init(_ device: DeviceID, _ socket: Int32) {
        self.device = device
        self.socket = socket
    }

    deinit { _ = try? packet.send(.end, to: socket) }

    func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        let answer = ask { packet throws(SystemError) in try packet.send(ranges, to: socket) }
        if let refusal = answer.refusal { throw refusal }
        // It has gone.
        guard let pin = answer.pin else { throw .converting(ranges[0].start) }
        return pin
    }

    func unpin(_ pin: Pin) {
        precondition(pin.device == device, "unpin of a pin that \(device) does not hold")
        _ = ask { packet throws(SystemError) in try packet.send(.unpin(pin), to: socket) }
    }

    private func ask(
        _ question: (RPC.Packet) throws(SystemError) -> Bool
    ) -> RPC.Answer {
        var answer = RPC.Answer()
        do throws(SystemError) {
            guard try question(packet), try PacketSocket.receive(&answer, from: socket) else {
                return RPC.Answer()
            }
            return answer
        } catch {
            // Whether there is a pin now only the hypervisor knows: it takes back what a dead device has.
            giveUp("\(device) cannot ask for its pins: \(error)")
        }
    }
}
