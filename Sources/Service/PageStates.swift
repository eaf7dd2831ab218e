import Guest
import GuestMemory
import Hypervisor

/// Which pages of a guest are shared because the service made them so: whole regions, or under `--implicit` what requests
/// have named.
final class PageStates {
    private(set) var regions: [PageRange] = []
    private let isImplicit: Bool
    /// Under `isImplicit`: a bit for each page that was ever named.
    private var named: [UInt64]

    init(isImplicit: Bool, pageLimit: PageCount) {
        self.isImplicit = isImplicit
        named = isImplicit ? Array(repeating: 0, count: Int(pageLimit.rawValue + 63) / 64) : []
    }

    /// In a table of private pages.
    func startOver() {
        regions = []
        for index in named.indices { named[index] = 0 }
    }

    /// The guest's memory is another now. Nothing of it is pinned, and the converter rests. The first refusal, or nil; what
    /// comes of it where it `shouldStop` is good for nothing.
    func change(
        to new: [PageRange], _ port: PSCHandler, shouldStop: () -> Bool
    ) -> PageStateChange? {
        let (old, isImplicit) = (regions, isImplicit)
        regions = new
        if isImplicit {
            for range in Self.difference(old, new) {
                for page in range.lower..<range.upper where isNamed(page) {
                    _ = port.changePageState(
                        PageRange(start: page, count: 1), toPrivate: true, due: 0)
                    named[Int(page / 64)] &= ~(1 << (page % 64))
                }
            }
            return nil
        }
        for range in Self.difference(old, new) {
            let answer = port.changePageState(range, toPrivate: true, due: 0)
            if answer != .done { return answer }
        }
        return port.share(Self.difference(new, old), shouldStop: shouldStop)
    }

    /// A request names pages that may never have been shared. What the converter has is none of them.
    func share(_ wanted: PageRange, _ port: PSCHandler) {
        guard isImplicit else { return }
        for region in regions {
            guard let range = region.intersection(wanted) else { continue }
            for page in range.lower..<range.upper where !isNamed(page) {
                _ = port.changePageState(
                    PageRange(start: page, count: 1), toPrivate: false, due: 0)
                named[Int(page / 64)] |= 1 << (page % 64)
            }
        }
    }

    private func isNamed(_ page: UInt64) -> Bool { named[Int(page / 64)] & 1 << (page % 64) != 0 }

    /// What the first list has and the second has not; both are in the order of addresses, without overlap.
    static func difference(_ first: [PageRange], _ second: [PageRange]) -> [PageRange] {
        var result: [PageRange] = []
        for range in first {
            var lower = range.lower
            for other in second where other.overlaps(range) {
                if other.lower > lower {
                    result.append(PageRange(start: lower, count: other.lower - lower))
                }
                lower = max(lower, other.upper)
            }
            if lower < range.upper {
                result.append(PageRange(start: lower, count: range.upper - lower))
            }
        }
        return result
    }
}
