import DmaLinux
import DmaReport
import Glibc

extension Probe {
    /// Whether this is a guest itself, and whose: the vendor only, never a model or serial number.
    var hypervisor: JSON {
        let flags = cpuInfo["flags"]?.split(separator: " ")
        let present = flags.map { JSON.bool($0.contains("hypervisor")) } ?? JSON.missing
        return .object([
            JSON.Member("present", present),
            JSON.Member("type", value("/sys/hypervisor/type")),
            JSON.Member(
                "vendor",
                present == .bool(true) ? value("/sys/class/dmi/id/sys_vendor") : JSON.missing),
        ])
    }

    /// Whether KVM can be used here, and what it offers for private memory
    /// (include/uapi/linux/kvm.h).
    var kvm: JSON {
        let path = files.root + "/dev/kvm"
        let number = open(path, O_RDWR | O_CLOEXEC)
        guard number >= 0 else {
            return .object([
                JSON.Member("present", .bool(access(path, F_OK) == 0)),
                JSON.Member("openable", .bool(false)),
            ])
        }
        let device = FileDescriptor(owning: number)
        let capabilities: [(String, CInt)] = [
            ("memory_attributes", 233), ("guest_memfd", 234), ("vm_types", 235),
            ("guest_memfd_flags", 244),
        ]
        let checkExtension: UInt = 0xae03
        return .object(
            [JSON.Member("present", .bool(true)), JSON.Member("openable", .bool(true))]
                + capabilities.map { name, capability in
                    let result = ioctl(device.raw, checkExtension, capability)
                    return JSON.Member(name, result < 0 ? JSON.missing : JSON(result))
                })
    }

    var sysctl: JSON {
        .object([
            JSON.Member(
                "unprivileged_userfaultfd", value("/proc/sys/vm/unprivileged_userfaultfd")),
            JSON.Member("io_uring_disabled", value("/proc/sys/kernel/io_uring_disabled")),
        ])
    }
}
