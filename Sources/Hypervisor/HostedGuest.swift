import DmaLinux
import DmaWriter
import Guest
import GuestMemory
import Oracle
import PinLock
import Settings

/// A guest as its host sees it: memory, table, and what happens where a page changes its state.
package struct HostedGuest {
    package let view: GuestView
    package let ledger: ConversionLedger
    package let host: PSCHost
    /// Nil where devices are kept from private pages by no page tables.
    package let mmu: DeviceMMU?
    package let oracle: PrivatePageOracle

    package var strategy: any PinStrategy { host.strategy }
}

extension VirtualMachine {
    /// Makes a guest of those settings and that map, wholly private and unpinned.
    ///
    /// - Parameters:
    ///   - timeout: how long a conversion waits for pins, in nanoseconds.
    ///   - isProtected: whether the devices' page tables keep them from private pages.
    package func makeGuest(
        _ settings: TurnSettings, _ map: MemoryMap, timeout: UInt64, isProtected: Bool,
        shouldStop: () -> Bool
    ) throws(MachineError) -> HostedGuest {
        let info = settings.strategy.type.info
        let view = GuestView(memory, pages: map.pages)
        let ledger = ConversionLedger(self.ledger, pages: map.pages)
        let frames = try system { () throws(SystemError) in
            try reset(pages: map.pages, entrySize: settings.entrySize, shouldStop: shouldStop)
            return info.hasPrivateFrames ? try privateFrames(pages: map.pages) : view
        }
        let mmu = isProtected ? DeviceMMU(isPaidFor: info.protectsPages) : nil
        let oracle = PrivatePageOracle(
            view: frames, ledger: ledger, isAwake: settings.writes, frees: settings.frees)
        // No store lands behind the canary; none is let in before the check.
        let effects: [(any PageStateEffect)?] = [
            mmu, PrivateMemory(shared: view, frames: frames, frees: settings.frees), oracle,
        ]
        let host = PSCHost(
            strategy: settings.strategy.type.init(arena: arena), policy: settings.policy,
            timeout: timeout, effects: PageStateEffects(effects.compactMap(\.self)),
            takenBack: TakenBackPages(), clock: clock,
            wakeDevices: { [devices] in for device in devices { device.wake() } })
        return HostedGuest(view: view, ledger: ledger, host: host, mmu: mmu, oracle: oracle)
    }
}
