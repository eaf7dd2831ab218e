import CLinux
import DmaLinux
import Glibc
import Synchronization

extension GuestView {
    /// Allocates the pages of `range` and maps them here, so that no measured access is a first touch.
    ///
    /// `threads` workers, the caller among them, take pieces of 64 MiB in turn. The caller asks `shouldStop` and
    /// reports the finished share, up to 1, after each piece of its own. Workers inherit the caller's processors.
    public func prefault(
        _ range: PageRange, threads: Int, shouldStop: () -> Bool = { false },
        progress: (Double) -> Void = { _ in }
    ) throws(PrefaultFailure) {
        let job = Prefault(range, of: self, pieceBytes: max(64 << 20, hugePageBytes))
        try job.run(threads: threads, shouldStop: shouldStop, progress: progress)
    }

    /// The page size of a hugetlb file; a smaller number for others (fstat(2), st_blksize).
    private var hugePageBytes: UInt64 {
        var status = stat()
        guard fstat(mapping.fileDescriptor, &status) == 0 else { return pageSize }
        return UInt64(clamping: status.st_blksize)
    }
}

/// One prefaulting, shared by its workers: a queue of pieces, and the first failure, which ends it.
///
/// A piece is never smaller than a huge page: two workers in one page would wait for each other.
final class Prefault: Sendable {
    typealias Populate = @Sendable (UnsafeMutableRawPointer, Int) -> Int32

    private let view: GuestView
    private let range: PageRange
    private let piecePages: UInt64
    private let populate: Populate
    private let next = Atomic<UInt64>(0)
    private let finished = Atomic<UInt64>(0)
    private let failure = Mutex<PrefaultFailure?>(nil)

    init(
        _ range: PageRange, of view: GuestView, pieceBytes: UInt64,
        populate: @escaping Populate = { clinux_populate_write($0, $1) }
    ) {
        precondition(range.upper <= view.pages.rawValue, "\(range) is outside \(view.pages)")
        self.view = view
        self.range = range
        piecePages = max(1, pieceBytes / pageSize)
        self.populate = populate
    }

    private var pieceCount: UInt64 { (range.count.rawValue + piecePages - 1) / piecePages }

    func run(
        threads: Int, shouldStop: () -> Bool, progress: (Double) -> Void
    ) throws(PrefaultFailure) {
        lead(helpers: min(threads, Int(pieceCount)) - 1) {
            while work() {
                progress(Double(finished.load(ordering: .relaxed)) / Double(pieceCount))
                if shouldStop() { stop(.stopped) }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
        progress(1)
    }

    /// Runs `body` beside `helpers` workers. Where no more threads can be started, fewer do the work.
    private func lead(helpers: Int, _ body: () -> Void) {
        guard helpers > 0,
            let helper = try? WorkerThread(name: "prefault", { while self.work() {} })
        else { return body() }
        lead(helpers: helpers - 1, body)
        helper.join()
    }

    /// Populates the next piece; false when none is left or one has failed.
    private func work() -> Bool {
        guard failure.withLock({ $0 == nil }) else { return false }
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < pieceCount else { return false }
        let start = range.lower + index * piecePages
        let piece = PageRange(start: start, count: min(piecePages, range.upper - start))
        let address = view.pointer(to: piece)
        var result: Int32
        repeat {
            result = populate(address, Int(piece.count.bytes.rawValue))
        } while result == -EINTR || result == -EAGAIN
        guard result == 0 else {
            stop(PrefaultFailure(code: -result, piece: piece))
            return false
        }
        finished.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    private func stop(_ reason: PrefaultFailure) {
        failure.withLock { if $0 == nil { $0 = reason } }
    }
}

/// Why guest memory could not be prefaulted (madvise(2), MADV_POPULATE_WRITE).
public enum PrefaultFailure: Error, Equatable, CustomStringConvertible {
    /// The kernel found no page, in all memory or on the node the range is bound to.
    case noMemory(PageRange)
    /// A page frame there has a hardware memory error.
    case poisoned(PageRange)
    /// The caller asked to stop.
    case stopped
    case system(SystemError)

    init(code: Int32, piece: PageRange) {
        switch code {
        case ENOMEM, EFAULT: self = .noMemory(piece)
        case EHWPOISON: self = .poisoned(piece)
        default:
            self = .system(
                SystemError(
                    "madvise(MADV_POPULATE_WRITE)", code: code, on: "\(piece)",
                    advice: code == EINVAL ? "Linux 5.14 or newer is needed" : ""))
        }
    }

    public var description: String {
        switch self {
        case .noMemory(let piece):
            "no memory for \(piece) of guest memory"
        case .poisoned(let piece):
            "a page frame behind \(piece) of guest memory has a hardware memory error; see dmesg"
        case .stopped: "prefaulting was stopped"
        case .system(let error): error.description
        }
    }
}
