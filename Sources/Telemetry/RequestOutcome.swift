/// How a request ended, as the device tells the harness: `status` of a sample. The guest learns no more of it than that a
/// request failed.
public enum RequestOutcome: UInt8, Sendable {
    /// All data was moved.
    case ok = 0
    /// A page of the request was private.
    case privatePage = 1
    /// A page of the request was being converted until the device's deadline had passed.
    case conversionInProgress = 2
    /// The request is not one that a driver makes, or its header could not be read.
    case badRequest = 3
    /// The device has no room for its pins, or has not said why it failed.
    case ioError = 4
    /// A page of the data became private under the write, which stopped there.
    case writeFault = 5
    /// The device would have to hold more of the guest's memory at once than it may.
    case overLimit = 6
}
