import Glibc

/// A part of the kernel that a machine may lack, or forbid: what has it, and what keeps a process from it.
///
/// What a refusal means depends on its error number, so the advice does too.
struct KernelFeature: Sendable {
    let origin: String
    /// The switch that forbids it, with its permissive value; nil where there is none.
    let sysctl: String?

    static let ioUring = KernelFeature(
        origin: "Linux 5.19 with CONFIG_IO_URING", sysctl: "kernel.io_uring_disabled=0")
    /// No vm.unprivileged_userfaultfd: that forbids faults of the kernel, which we leave alone (userfaultfd(2)).
    static let userfaultfd = KernelFeature(
        origin: "Linux 6.4 with CONFIG_USERFAULTFD, and 4 KiB pages", sysctl: nil)
    static let membarrier = KernelFeature(origin: "Linux 4.16 with CONFIG_MEMBARRIER", sysctl: nil)
    /// What the program cannot do without.
    static let basic = KernelFeature(origin: "Linux 5.14", sysctl: nil)

    /// What to do where a call fails with this error number; empty where that is not known.
    func advice(for code: Int32) -> String {
        let filter = "a seccomp filter, as containers have one, must allow it"
        switch code {
        case ENOSYS, EINVAL: return "it needs \(origin); \(filter)"
        case EPERM, EACCES: return (sysctl.map { "sudo sysctl \($0); " } ?? "") + filter
        case EMFILE: return "raise the limit: ulimit -n"
        default: return ""
        }
    }
}

/// Turns the `-errno` convention of `CLinux` into an error that says what to do.
@discardableResult
func check(
    _ result: Int32, _ call: String, on subject: @autoclosure () -> String = "",
    of feature: KernelFeature
) throws(SystemError) -> Int32 {
    try check(result, call, on: subject(), advice: feature.advice(for: -result))
}
