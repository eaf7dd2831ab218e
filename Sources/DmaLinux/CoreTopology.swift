import CLinux

extension Processors {
    /// The processors, grouped by the core whose hardware threads they are: each group ascending, the groups by their
    /// first.
    ///
    /// A guest sees what its hypervisor shows it, often one thread a core. A processor of which the kernel tells
    /// nothing is a group of its own.
    public static func cores(of processors: [Int]) -> [[Int]] {
        cores(of: processors, files: .machine)
    }

    /// Documentation/admin-guide/cputopology.rst; kernels before 5.3 have the older name alone.
    static func cores(of processors: [Int], files: KernelFiles) -> [[Int]] {
        var left = Set(processors)
        var cores: [[Int]] = []
        for processor in left.sorted() where left.contains(processor) {
            let directory = "/sys/devices/system/cpu/cpu\(processor)/topology/"
            let text =
                files.text(directory + "core_cpus_list")
                ?? files.text(directory + "thread_siblings_list")
            let threads = text.flatMap(parseList) ?? []
            let core = left.intersection(threads).union([processor])
            left.subtract(core)
            cores.append(core.sorted())
        }
        return cores
    }

    /// The numbers of a list such as `0-1,4`, as the kernel prints a set (Documentation/core-api/printk-formats.rst,
    /// `%*pbl`); nil where it is none. A line's end may follow.
    package static func parseList(_ text: some StringProtocol) -> [Int]? {
        var numbers: [Int] = []
        let trimmed = text.split(whereSeparator: \.isWhitespace)
        guard trimmed.count <= 1 else { return nil }
        guard let list = trimmed.first else { return [] }
        for range in list.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = range.split(separator: "-", omittingEmptySubsequences: false)
            let limit = Int(CLINUX_CPU_MAX)
            guard ends.count <= 2, let first = number(ends[0], below: limit),
                let last = number(ends[ends.count - 1], below: limit), first <= last
            else { return nil }
            numbers += first...last
        }
        return numbers
    }

    private static func number(_ digits: some StringProtocol, below limit: Int) -> Int? {
        guard digits.allSatisfy(\.isNumber), let number = Int(digits), number < limit else {
            return nil
        }
        return number
    }
}
