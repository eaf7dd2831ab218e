import DmaLinux

/// What is wrong with what a front-end sent. The connection cannot go on; the next one starts anew.
public enum ProtocolError: Error, Equatable, Sendable, CustomStringConvertible {
    // The message
    case version(UInt32)
    case unknownRequest(UInt32)
    case unsupported(RequestCode)
    case replyFlag(RequestCode)
    case payloadTooLong(RequestCode, UInt32)
    case payloadSize(RequestCode, Int, expected: Int)
    case descriptorCount(RequestCode, Int, expected: ClosedRange<Int>)
    case cutOff(Int, of: Int)
    case readsNothing
    // What was agreed on
    case notAcknowledged(RequestCode, feature: String)
    case featuresNotOffered(UInt64)
    case protocolFeaturesNotOffered(UInt64)
    case featuresWhileRunning
    case status(UInt64)
    case memory(MemoryFault)
    case queue(Int, QueueFault)
    case inflight(InflightFault)
    case log(LogFault)
    /// What the kernel refused, mostly a mapping.
    case system(SystemError)

    public var description: String {
        switch self {
        case .version(let version):
            "a message of version \(version): this back-end speaks version 1 of vhost-user"
        case .unknownRequest(let number):
            "request \(number), which this back-end does not know: the front-end may only send what was agreed on"
        case .unsupported(.iotlb):
            "IOTLB_MSG: a guest behind a virtual IOMMU is not served; start it without one"
        case .unsupported(let code): "\(code.name), which is not supported and was not offered"
        case .replyFlag(let code): "\(code.name) with the flag of a reply: nothing had been asked"
        case .payloadTooLong(let code, let count):
            "\(code.name) of \(count) bytes: a message has \(MessageHeader.payloadLimit) at most"
        case .payloadSize(let code, let count, let expected):
            "\(code.name) of \(count) bytes, which has \(expected)"
        case .descriptorCount(let code, let count, let expected):
            "\(code.name) with \(count) descriptors, which has \(Self.text(expected))"
        case .cutOff(let count, let expected):
            "the front-end has gone in the midst of a message, after \(count) bytes of \(expected)"
        case .readsNothing: "the front-end does not read the answers to what it asks"
        case .notAcknowledged(let code, let feature):
            "\(code.name) before the protocol's feature \(feature) was acknowledged"
        case .featuresNotOffered(let bits):
            "features acknowledged that were not offered: \(hex(bits))"
        case .protocolFeaturesNotOffered(let bits):
            "features of the protocol acknowledged that were not offered: \(hex(bits))"
        case .featuresWhileRunning:
            "other features than those with which a queue was started: stop the queues first (GET_VRING_BASE)"
        case .status(let status): "a device status of \(hex(status)), which is one byte"
        case .memory(let fault): fault.description
        case .queue(let index, let fault): "queue \(index): \(fault)"
        case .inflight(let fault): fault.description
        case .log(let fault): fault.description
        case .system(let error): error.description
        }
    }

    private static func text(_ range: ClosedRange<Int>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
    }
}

/// The number as C writes it.
func hex(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }

/// Passes on what the kernel says as what is wrong with a request.
func refused<Result>(_ body: () throws(SystemError) -> Result) throws(ProtocolError) -> Result {
    do throws(SystemError) { return try body() } catch { throw .system(error) }
}
