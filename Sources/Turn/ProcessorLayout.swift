/// Which processor each device and each vCPU of a turn has, and who sleeps where there are not enough.
///
/// The converter's vCPU has the first place, devices one each behind it, as far as there are; the drivers' vCPUs share
/// what is left, or that of the converter. Whoever has a place to itself polls. Devices that share theirs sleep until
/// they are notified; on a single place everybody does.
public struct ProcessorLayout: Sendable, Equatable {
    /// By device.
    public let devices: [Int]
    /// The converter's first; a driver's program runs on one of the others, where there are any.
    public let vcpus: [Int]
    public let devicesSleep: Bool
    public let vcpusSleep: Bool
    /// Whether there are fewer places than devices and vCPUs: what the guest's side shows then is the scheduler.
    public let isOversubscribed: Bool

    /// What the command line says about it; nil where it says nothing.
    public struct Wishes: Sendable {
        public var devices: Int?
        public var vcpus: [Int] = []
        public var vcpuCount: Int?
        /// Whether both sides sleep until they are notified, whatever there is.
        public var sleeps = false

        public init() {}
    }

    /// Lays out `count` devices on `cores`, groups of processors that are hardware threads of one core: the first of each
    /// is a place; the others count where there is no place left for a device.
    public init(devices count: Int, cores: [[Int]], wishes: Wishes = Wishes()) {
        let places = Self.places(cores, startingWith: wishes.vcpus.first)
        let own =
            wishes.devices.map { [$0] } ?? (places.count > 1 ? Array(places.dropFirst()) : places)
        devices = (0..<count).map { own[$0 % own.count] }
        let taken = Set(devices).union([places[0]])
        let free = Self.firstThreads(cores).filter { !taken.contains($0) }
        var vcpus = wishes.vcpus
        if vcpus.isEmpty { vcpus = [places[0]] }
        if wishes.vcpus.count < 2 {
            let wanted = wishes.vcpuCount.map { $0 - 1 } ?? min(count, free.count)
            vcpus += (0..<max(0, wanted)).map { free.isEmpty ? places[0] : free[$0 % free.count] }
        }
        self.vcpus = vcpus
        let all = devices + vcpus
        isOversubscribed = Set(all).count < all.count
        devicesSleep =
            wishes.sleeps || Set(devices).count < count || !Set(devices).isDisjoint(with: vcpus)
        vcpusSleep =
            wishes.sleeps || Set(vcpus).count < vcpus.count
            || !Set(devices).isDisjoint(with: vcpus)
    }

    /// A vCPU for each driver.
    public func vcpu(ofDriver index: Int) -> Int {
        vcpus.count == 1 ? 0 : 1 + index % (vcpus.count - 1)
    }

    private static func firstThreads(_ cores: [[Int]]) -> [Int] { cores.map { $0[0] } }

    /// Every processor, one of each core before the second of any.
    private static func places(_ cores: [[Int]], startingWith first: Int?) -> [Int] {
        let depth = cores.map(\.count).max() ?? 0
        let all = (0..<depth).flatMap { thread in
            cores.compactMap { $0.count > thread ? $0[thread] : nil }
        }
        guard let first else { return all }
        return [first] + all.filter { $0 != first }
    }
}
