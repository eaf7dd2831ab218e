import Telemetry

extension Driver {
    /// What the driver and its device tell each other beside the queue.
    public struct DeviceSignals {
        /// Wakes the device; nil where it polls.
        let kick: (() -> Void)?
        /// Whether the device has settled.
        let isSettled: () -> Bool
        /// Tells the device from which generation on it measures.
        let measure: (_ generation: UInt64) -> Void
        /// Why the request failed that failed last: the status says only that it did.
        let failure: () -> RequestOutcome

        public init(
            kick: (() -> Void)?, isSettled: @escaping () -> Bool,
            measure: @escaping (_ generation: UInt64) -> Void,
            failure: @escaping () -> RequestOutcome
        ) {
            self.kick = kick
            self.isSettled = isSettled
            self.measure = measure
            self.failure = failure
        }
    }
}
