import Linux

/// How the two sides of a queue tell each other: by looking, or through event descriptors.
struct Notifications: ~Copyable {
    /// Whether the device sleeps between requests.
    let sleeps: Bool
    private let kick: FileDescriptor
    private let call: FileDescriptor

    init(sleeps: Bool, kick: consuming FileDescriptor, call: consuming FileDescriptor) {
        self.sleeps = sleeps
        self.kick = kick
        self.call = call
    }

    func waitForKick() { _ = kick.waitNotified(timeoutMilliseconds: -1) }

    func callDriver() { call.notify() }
}
