import DmaLinux
import DmaWriter
import GuestMemory
import Oracle
import PinLock
import Telemetry
import Trace

extension ServedTurn {
    /// What does not change between turns: what the device's process was told, and what it has inherited.
    struct Surroundings {
        let device = DeviceID(0)
        let setup: ServedSetup
        let arena: SharedMapping
        let ledger: ConversionLedger
        let telemetry: ServedTelemetry
        let store: (any BlockStore)?
        let writer: DmaWriter?
        let recording: RequestRecording?

        /// Takes over the descriptors that the process of this setup has inherited, but for control and connection.
        init(inherited setup: ServedSetup) throws(SystemError) {
            func map(_ number: Int32, _ name: String) throws(SystemError) -> SharedMapping {
                try SharedMapping(mapping: FileDescriptor(owning: number), name: name)
            }
            self.setup = setup
            arena = try map(ServedDescriptor.arena, "pin arena")
            telemetry = ServedTelemetry(try map(ServedDescriptor.telemetry, "telemetry"))
            let number = ServedDescriptor.store(records: setup.records)
            store =
                switch setup.store {
                case .null: NullStore()
                case .fill: nil
                case .memory: MemoryStore(try map(number, "store"))
                case .file: FileStore(number)
                }
            ledger = ConversionLedger(
                try map(ServedDescriptor.ledger, "conversion ledger"), pages: setup.pageLimit)
            writer =
                setup.store == .fill
                ? try DmaWriter(engine: setup.engine, lanes: 1, device: 0) : nil
            recording =
                setup.records
                ? RequestRecording(TraceRing(try map(ServedDescriptor.recording, "recording")))
                : nil
        }
    }
}
