import DmaReport
import Experiment
import Hypervisor
import Telemetry
import Turn

extension Row {
    /// What a device has measured of its requests.
    mutating func fill(_ dma: borrowing RequestStatistics) {
        ops = dma.totals.operations
        refused = dma.totals.refused
        retries = dma.totals.retries
        pinNsP50 = dma.pin.percentile(50).map { Double($0) }
        pinNsP99 = dma.pin.percentile(99).map { Double($0) }
        pinNsMax = dma.pin.maximum.map { Double($0) }
        writeNsP50 = dma.write.percentile(50).map { Double($0) }
        writeNsP99 = dma.write.percentile(99).map { Double($0) }
        writeNsMax = dma.write.maximum.map { Double($0) }
        unpinNsP50 = dma.unpin.percentile(50).map { Double($0) }
        unpinNsP99 = dma.unpin.percentile(99).map { Double($0) }
        unpinNsMax = dma.unpin.maximum.map { Double($0) }
        dmaNsP50 = dma.dma.percentile(50).map { Double($0) }
        dmaNsP99 = dma.dma.percentile(99).map { Double($0) }
        syncShare = dma.syncShare
        writeBytesPerS = dma.writeBytesPerSecond
        outsideShare = dma.outsideShare
        pinNsMean = dma.pinMean
        unpinNsMean = dma.unpinMean
    }

    /// What kept threads from their work; `best` is the most that a core has done in this run.
    mutating func fill(devices: [Interference], vcpus: [Interference], best: Double?) {
        func sum(_ threads: [Interference], _ figure: (Interference) -> UInt64) -> UInt64 {
            threads.reduce(0) { $0 + figure($1) }
        }
        deviceGaps = sum(devices, \.gaps)
        deviceGapShare = devices.compactMap(\.gapShare).max()
        deviceGapNsMax = devices.map(\.longestGapNanoseconds).max()
        deviceSharedShare = devices.compactMap { $0.sharedShare(best: best) }.max()
        deviceWaitShare = devices.compactMap(\.waitShare).max()
        devicePreempted = sum(devices, \.kernel.involuntarySwitches)
        deviceFaults = sum(devices, \.kernel.minorFaults)
        if !vcpus.isEmpty {
            vcpuGaps = sum(vcpus, \.gaps)
            vcpuGapShare = vcpus.compactMap(\.gapShare).max()
            vcpuGapNsMax = vcpus.map(\.longestGapNanoseconds).max()
            vcpuSharedShare = vcpus.compactMap { $0.sharedShare(best: best) }.max()
            vcpuWaitShare = vcpus.compactMap(\.waitShare).max()
            vcpuPreempted = sum(vcpus, \.kernel.involuntarySwitches)
            vcpuFaults = sum(vcpus, \.kernel.minorFaults)
        }
        stops = sum(devices, \.stops)
        ranCpu = (devices + vcpus).map(\.processor)
    }

    /// What became of a trace's requests. The pair of the hot loop is of one range, as none of them may have.
    mutating func fill(_ replay: ReplayFigures) {
        (inRequests, inBytes) = (replay.inRequests, replay.inBytes)
        (outRequests, outBytes) = (replay.outRequests, replay.outBytes)
        (segmentsP50, segmentsP99) = (replay.segmentsMedian, replay.segmentsPercentile99)
        segmentsMax = replay.segmentsMost
        pairHotNs = nil
    }

    /// What became of a turn's conversions. A thread that sleeps cannot tell what was taken from it: it knows no gaps.
    mutating func fill(_ log: ConversionLog, knowsGaps: Bool) {
        conversions = log.done
        conversionsDenied = log.denied
        conversionsBusy = log.busy
        deniedShare = shareDenied
        deniedNsMax = log.longestDenial.map { Double($0) }
        deniedCallNsP50 = log.deniedCall.percentile(50).map { Double($0) }
        deniedCallNsP99 = log.deniedCall.percentile(99).map { Double($0) }
        convertWaitNsMax = log.longestWait.map { Double($0) }
        conversionsWaited = log.waited
        conversionsRevoked = log.revoked
        convertNsP50 = log.latency.percentile(50).map { Double($0) }
        convertNsP99 = log.latency.percentile(99).map { Double($0) }
        convertNsMax = log.latency.maximum.map { Double($0) }
        convertNsCdf = Row.distributionPercents.compactMap { log.latency.percentile($0) }
        convertCallNsP50 = log.call.percentile(50).map { Double($0) }
        convertCallNsP99 = log.call.percentile(99).map { Double($0) }
        if knowsGaps {
            convertUndisturbedNsP99 = log.undisturbed.percentile(99).map { Double($0) }
            conversionsDisturbed = log.done - log.undisturbed.count
        }
        convertCheckNsMean = log.done > 0 ? log.checking / Double(log.done) : nil
    }
}
