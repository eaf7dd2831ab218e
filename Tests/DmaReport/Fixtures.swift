import DmaLinux
import Glibc

@testable import DmaReport

extension Row {
    /// A row with every required column filled, and nothing measured.
    static func planned(
        _ strategy: String = "perpage", safe: Bool = true, round: Int = 1,
        sizeBytes: UInt64 = 1 << 30, status: Status = .ok
    ) -> Row {
        var row = Row()
        row.run = "r1"
        row.round = round
        row.position = 1
        row.strategy = strategy
        row.safe = safe
        row.policy = "deny"
        row.sizeBytes = sizeBytes
        row.entryBytes = 4096
        row.chunkBytes = sizeBytes
        row.ranges = 1
        row.misalignBytes = 0
        row.devices = 1
        row.engine = "nt"
        row.lanes = 1
        row.backing = "memfd"
        row.convertRateHz = 1000
        row.convertPages = 1
        row.convertWhere = "outside"
        row.status = status
        row.env = "0123456789abcdef"
        return row
    }

    /// The same with the measurements that a summary shows; `write` is nil for a run without a
    /// write.
    static func measured(
        _ strategy: String, safe: Bool = true, round: Int = 1, sizeBytes: UInt64 = 1 << 30,
        pin: Double, write: Double?, unpin: Double
    ) -> Row {
        var row = planned(strategy, safe: safe, round: round, sizeBytes: sizeBytes)
        row.pinNsP50 = pin
        row.unpinNsP50 = unpin
        row.writeNsP50 = write
        if let write {
            row.syncShare = (pin + unpin) / (pin + write + unpin)
            row.writeBytesPerS = Double(sizeBytes) / (write / 1e9)
        }
        row.conversions = 900
        row.conversionsDenied = 100
        row.convertNsP50 = 450
        row.convertNsP99 = 12_300
        row.violationsPrivate = 0
        row.violationsStale = 0
        return row
    }

    /// Every column filled, no two of one type alike, with values that are hard to write and to
    /// read.
    static var full: Row {
        var row = planned("odd \"name\", with\nbreaks\r\t\\", status: .failed("a,b\u{1}\u{7F}|é"))
        row.chunkBytes = 1 << 21
        row.misalignBytes = 8192
        row.convertPages = 16
        (row.round, row.position, row.ranges, row.devices, row.lanes) = (2, 3, 4, 5, 6)
        row.memoryNode = 7
        row.deviceCpu = [1, 3]
        row.vcpuCpu = [0]
        row.ops = .max
        row.refused = 0
        let numbers: [WritableKeyPath<Row, Double?>] = [
            \.pinNsP50, \.pinNsP99, \.pinNsMax, \.writeNsP50, \.writeNsP99, \.writeNsMax,
            \.unpinNsP50, \.unpinNsP99, \.unpinNsMax, \.dmaNsP50, \.dmaNsP99, \.syncShare,
            \.writeBytesPerS, \.pairHotNs, \.convertNsP50, \.convertNsP99, \.convertNsMax,
            \.setupPscNs, \.setupPinNs, \.copyNsP50, \.clockNs, \.outsideShare,
            \.recoveryNsMean, \.recoveryNsMax, \.deniedShare, \.deniedNsMax, \.convertWaitNsMax,
            \.pinWaitNsMax, \.clockStepNs, \.pinNsMean, \.unpinNsMean, \.convertCallNsP50,
            \.convertCallNsP99, \.convertUndisturbedNsP99, \.convertCheckNsMean,
            \.deniedCallNsP50, \.deniedCallNsP99, \.deviceGapShare, \.deviceGapNsMax,
            \.deviceSharedShare, \.deviceWaitShare, \.vcpuGapShare, \.vcpuGapNsMax,
            \.vcpuSharedShare, \.vcpuWaitShare, \.vcpuStepNsMax, \.deviceCpuNs, \.convertHoldNs,
            \.dmaRateHz, \.idleNs, \.dueNsP50, \.dueNsP99,
        ]
        let values = [0.1, 1e-9, 1_450_000, 3e300, 0.5, 2.0 / 3, 0]
        for (index, path) in numbers.enumerated() {
            row[keyPath: path] = index < values.count ? values[index] : Double(index) / 3
        }
        let counts: [WritableKeyPath<Row, UInt64?>] = [
            \.conversions, \.conversionsDenied, \.conversionsWaited, \.conversionsRevoked,
            \.violationsPrivate, \.violationsStale, \.faults, \.leakedPins, \.metadataBytes,
            \.splits, \.lostBytes, \.surprises, \.sharedPages, \.retries, \.poolBytes,
            \.cacheBytes, \.cacheHits, \.cacheMisses, \.cacheMerges, \.cacheInvalidations,
            \.cacheEvictions, \.pinLimitBytes, \.conversionsDisturbed, \.conversionsBusy,
            \.deviceGaps, \.devicePreempted, \.deviceFaults, \.vcpuGaps, \.vcpuPreempted,
            \.vcpuFaults, \.throttledNs, \.stops, \.spreadBytes, \.inRequests, \.inBytes,
            \.outRequests, \.outBytes, \.segmentsP50, \.segmentsP99, \.segmentsMax, \.depthP50,
            \.depthMax, \.pageWaits, \.backlogMax,
        ]
        for (index, path) in counts.enumerated() { row[keyPath: path] = UInt64(index) + 100 }
        row.noisy = ["cpu", "warmup"]
        (row.enforce, row.onFault, row.convertTo) = ("mmu", "retry", "free")
        (row.buffers, row.sharedLines) = ("adjacent", 9)
        row.plan = "fedcba9876543210"
        row.revision = "abcdef0+"
        row.convertNsCdf = [10, 20, .max]
        row.exclusion = "faults"
        row.convertLoop = "closed"
        (row.dmaArrivals, row.depth) = ("fixed", 17)
        (row.direction, row.readEngine) = ("mixed:70", "copy")
        (row.trace, row.speed) = ("guest.csv", "2")
        (row.convertWait, row.notify) = ("block", "devices")
        (row.guest, row.store, row.queues) = ("vhost-user", "memory", 8)
        (row.deviceBusy, row.ranCpu) = ([0.5, 1], [1, 3, 0])
        return row
    }
}

/// A directory of its own, removed with what is in it.
final class ScratchDirectory {
    let path: String

    init() {
        var template = Array("/tmp/report-tests.XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        for name in listDirectory(path) { unlink(path + "/" + name) }
        rmdir(path)
    }
}
