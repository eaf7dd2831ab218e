// A whole virtual device and its hypervisor, against a guest that owns all of its memory.
//
// One thread, so that an input always does the same: the guest moves just before each access of the device to the
// queue, before and after each pin and unpin, and while the hypervisor wakes devices. A move is a store anywhere, a
// request put together as a driver would, or a page state change of any range. The rest is the product: the device's
// loop and writer, a strategy, the handler of page state changes and the oracle.
//
// Promised whatever the guest does: the device stores to its queue and to what it has pinned, and to nothing else (all
// other pages are PROT_NONE in its mapping); no page is both pinned and private; after each move the device's work
// ends; once the queue has been reset a well-formed request is served; and no pin is left.
//
// An input: the strategy, then options (`Machine.init`), then moves of twelve bytes each (`Guest`).

import Virtqueue

@c(LLVMFuzzerTestOneInput)
public func fuzzDevice(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    let machine = Machine(strategy: input[0], options: input[1])
    machine.start()
    let guest = Guest(machine, moves: UnsafeRawBufferPointer(rebasing: input[2...]))
    guestMoves = { guest.move() }
    while true {
        let broken = machine.runDevice()
        guard guest.hasMoves else { break }
        if broken != nil {
            machine.resetDevice()
            guest.resetQueue()
        }
        guest.moveAtOnce()
    }
    machine.end()
    return 0
}
