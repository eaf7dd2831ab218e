import DmaLinux

/// How the two sides of a queue tell each other: by looking, or through event descriptors.
struct Notifications: ~Copyable {
    /// Whether the device sleeps between requests.
    let sleeps: Bool
    /// Whether the driver does: then it is called.
    let calls: Bool
    private let kick: FileDescriptor
    private let call: FileDescriptor

    init(sleeps: Bool, calls: Bool, kick: consuming FileDescriptor, call: consuming FileDescriptor)
    {
        self.sleeps = sleeps
        self.calls = calls
        self.kick = kick
        self.call = call
    }

    /// Sleeps until notified, or 20 ms: a device that never runs is known to be stopped.
    func waitForKick() { _ = kick.waitNotified(timeoutMilliseconds: 20) }

    func callDriver() { call.notify() }
}
