import DmaLinux
import DmaWriter
import GuestMemory
import PinLock

/// What a device does that ignores every rule, and what comes of it: plain data for the control socket.
public struct RogueReport: BitwiseCopyable, Sendable {
    /// Whether the strategy gave it a pin, and so promised that the page would stay shared.
    public var wasPinned = false
    /// Bytes that its own store wrote before it was stopped: the page's size where nothing stopped it.
    public var storedBytes: UInt64 = 0
    /// What read(2) into the page returned: bytes, or minus the error number.
    public var readResult: Int64 = 0
    /// What an io_uring read into the page returned.
    public var uringResult: Int64 = 0
}

/// A device that writes to a page because it was told to, pinned or not.
struct RogueDevice {
    let pinner: any Pinner
    let view: GuestView
    let writer: DmaWriter

    func attack(_ gfn: GFN) -> RogueReport {
        var report = RogueReport()
        let page = PageRange(start: gfn.rawValue, count: 1)
        do throws(PinRefusal) {
            pinner.unpin(try pinner.pin(page))
            report.wasPinned = true
        } catch {
            // As it should be; the device goes on all the same.
        }
        let bytes = view.bytes(of: page)
        let stamp = writer.stamp(generation: 1)
        writer.prepare(stamp)
        report.storedBytes = UInt64(writer.write(bytes, stamp: stamp))
        report.readResult = Int64(ForeignWrite.read(into: bytes))
        report.uringResult = Int64(ForeignWrite.ioUring(into: bytes))
        return report
    }
}
