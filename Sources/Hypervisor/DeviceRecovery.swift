import DmaLinux
import PinLock

/// The end of a turn that has failed: the dead devices' pins are taken back, the living end their turn or are killed.
package final class DeviceRecovery {
    private let watch: DeviceWatch
    private let strategy: any PinStrategy
    private let services: DeviceServices
    private var hasRun = false
    /// Why a dead device's pins are left.
    package private(set) var refusal: RecoveryRefusal?
    private var killed: [DeviceID] = []

    /// How long a device that runs may take for what is in flight.
    private static let endTimeout: UInt64 = 60_000_000_000

    /// `services` answer the devices, where the strategy has them.
    package init(_ watch: DeviceWatch, strategy: any PinStrategy, services: DeviceServices) {
        self.watch = watch
        self.strategy = strategy
        self.services = services
    }

    /// What is to be added to the turn's failure: who did not come to its end by itself.
    package var note: String {
        killed.map { "; \($0) did not come to its end and was killed" }.joined()
    }

    /// Takes back the pins of the devices that have died, while the others end their turn: one of those may wait for a
    /// conversion that waits for the dead. Then those of whoever did not come to its end, which is killed. Once.
    package func run() {
        guard !hasRun else { return }
        hasRun = true
        for device in watch.devices { device.end() }
        try? recoverTheDead(eachWithin: 1000)
        killed = watch.endAll(until: .after(nanoseconds: Self.endTimeout)).map(\.id)
        do throws(RecoveryRefusal) {
            // Once more also of those that were refused while somebody was in a pin.
            try recoverTheDead(eachWithin: Self.endTimeout / 1_000_000)
        } catch {
            refusal = error
        }
        for device in watch.devices { device.endService() }
    }

    private func recoverTheDead(eachWithin milliseconds: UInt64) throws(RecoveryRefusal) {
        let dead = watch.devices.indices.filter { watch.devices[$0].process.poll() != nil }
        // Nothing is done for a dead device any more when its pins are taken back.
        for index in dead { watch.devices[index].endService() }
        for index in dead { services.join(index) }
        try strategy.recover(dead.map { watch.devices[$0].id }, eachWithin: milliseconds)
    }
}
