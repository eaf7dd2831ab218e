import GuestMemory
import Linux

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

        public func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
            switch way {
            case .direct(let tree): try tree.pin(range)
            case .remote(let asker): try asker.pin(range)
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
        var question = Question()
        while try PacketSocket.receive(&question, from: socket) {
            var answer = Answer()
            switch question.what {
            case .pin:
                do throws(PinRefusal) {
                    let pin = try pinner.pin(
                        PageRange(start: question.start, count: question.count))
                    answer.entry = UInt64(pin.entry)
                    answer.ticket = pin.ticket
                } catch {
                    answer.refusal = error
                }
            case .unpin:
                // A device is trusted: a token that nobody holds traps here, as it would there.
                pinner.unpin(
                    Pin(
                        range: PageRange(start: question.start, count: question.count),
                        device: device, entry: Int(question.entry), ticket: question.ticket))
            case .end:
                return
            }
            guard try PacketSocket.send(answer, to: socket) else { return }
        }
    }

    // MARK: What crosses the socket

    struct Question: BitwiseCopyable {
        enum What: UInt64, BitwiseCopyable {
            case pin, unpin, end
        }

        var what = What.pin
        var start: UInt64 = 0
        var count: UInt64 = 1
        var entry: UInt64 = 0
        var ticket: UInt64 = 0
    }

    struct Answer: BitwiseCopyable {
        var refusal: PinRefusal?
        var entry: UInt64 = 0
        var ticket: UInt64 = 0
    }
}

/// The device's end of the socket. Where the hypervisor has gone, so has the device in the next moment.
final class Asker {
    private let device: DeviceID
    private let socket: Int32

    init(_ device: DeviceID, _ socket: Int32) {
        self.device = device
        self.socket = socket
    }

    deinit {
        var question = RPC.Question()
        question.what = .end
        _ = try? PacketSocket.send(question, to: socket)
    }

    func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
        var question = RPC.Question()
        question.start = range.lower
        question.count = range.count.rawValue
        let answer = ask(question)
        if let refusal = answer.refusal { throw refusal }
        return Pin(
            range: range, device: device, entry: Int(answer.entry), ticket: answer.ticket)
    }

    func unpin(_ pin: Pin) {
        precondition(pin.device == device, "unpin of a pin that \(device) does not hold")
        var question = RPC.Question()
        question.what = .unpin
        question.start = pin.range.lower
        question.count = pin.range.count.rawValue
        question.entry = UInt64(pin.entry)
        question.ticket = pin.ticket
        _ = ask(question)
    }

    private func ask(_ question: RPC.Question) -> RPC.Answer {
        var answer = RPC.Answer()
        do throws(SystemError) {
            guard try PacketSocket.send(question, to: socket),
                try PacketSocket.receive(&answer, from: socket)
            else { return RPC.Answer(refusal: .converting(GFN(question.start))) }
            return answer
        } catch {
            // Whether there is a pin now only the hypervisor knows: it takes back what a dead device has.
            giveUp("\(device) cannot ask for its pins: \(error)")
        }
    }
}
