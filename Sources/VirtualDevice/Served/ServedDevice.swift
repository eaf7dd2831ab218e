import DmaLinux
import DmaWriter
import Glibc
import GuestMemory
import Oracle
import PinLock
import Telemetry
import Trace
import VhostUser
import Virtqueue

/// The process of a device that serves a guest of somebody else's, from a connection of the guest's VMM to its end.
///
/// One thread: requests of the VMM, kicks of the guest, and commands of the hypervisor. Trusted but mortal, as every
/// device; it dies with its parent.
public final class ServedDevice {
    private let control: ControlChannel
    private var connection: Connection
    private let setup: ServedSetup
    private let surroundings: ServedTurn.Surroundings
    private var backend: Backend
    private var view: GuestView
    private var queues: ServedQueues!
    private var turn: ServedTurn?
    /// Why the process comes to its end.
    private var farewell: (report: ServedReport, text: String)?
    /// The hypervisor wants the turn to end, and said so while something else was asked of it.
    private var isEndWanted = false
    /// The same of a turn that is to begin.
    private var wanted: (strategy: StrategyID, cache: PageCount)?

    private static let napMilliseconds: UInt64 = 1000
    /// Serves until the VMM or the hypervisor has gone; returns at once where the parent has gone already.
    public static func run(parent: Int32) throws(SystemError) {
        guard try dieWithParent(expected: parent) else { return }
        nameThisThread("dma-device0")
        let control = ControlChannel(FileDescriptor(owning: ServedDescriptor.control))
        guard case .setUp(let setup)? = try control.receive(ServedCommand.self)?.message else {
            return
        }
        let device = try ServedDevice(control, setup)
        var failure: SystemError?
        onEvenStack {
            do throws(SystemError) { try device.run() } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private init(_ control: consuming ControlChannel, _ setup: ServedSetup) throws(SystemError) {
        self.setup = setup
        connection = Connection(StreamSocket(FileDescriptor(owning: ServedDescriptor.connection)))
        surroundings = try ServedTurn.Surroundings(inherited: setup)
        try StopCounter.install()
        self.control = control
        backend = Backend(
            BlockDevice(
                capacityInSectors: setup.capacityInSectors, queueCount: setup.queueCount,
                offersAccessPlatform: true))
        view = try! GuestView([])
        queues = ServedQueues(count: setup.queueCount) { [unowned self] index, why in
            say(.queueLost(index), why)
        }
    }

    // MARK: The loop

    private func run() throws(SystemError) {
        while farewell == nil {
            let hasMore = turn.map { queues.serve($0, view, of: backend) } ?? false
            catchUp()
            try wait(isBusy: hasMore)
        }
        endTurn(answers: turn != nil)
        guard let (report, text) = farewell else { return }
        _ = try control.answer(report, text: text)
    }

    /// Takes what the hypervisor and the VMM have to say; sleeps until one of them or the guest has something, where
    /// there was nothing to do.
    private func wait(isBusy: Bool) throws(SystemError) {
        var numbers = [control.descriptor, connection.descriptor]
        var milliseconds = isBusy ? 0 : Self.napMilliseconds
        if turn != nil {
            let (kicks, atMost) = queues.kicks(isBusy: isBusy, of: backend)
            numbers += kicks
            milliseconds = min(milliseconds, atMost)
            if !isBusy { turn?.server.pins.serviceRevocations() }
        }
        let ready = try FileDescriptor.readable(numbers, milliseconds: milliseconds)
        defer { turn?.resume() }
        for (bit, number) in numbers.enumerated().dropFirst(2) where ready & 1 << UInt64(bit) != 0 {
            var count: UInt64 = 0
            _ = read(number, &count, 8)
        }
        if ready & 1 != 0 { try listenToHypervisor() }
        if ready & 2 != 0 { listenToVMM() }
    }

    // MARK: The hypervisor

    private func listenToHypervisor() throws(SystemError) {
        guard let (command, _) = try control.receive(ServedCommand.self) else {
            farewell = (.closed, "")
            return
        }
        switch command {
        case .begin(let strategy, let cache): begin(strategy.type, cache)
        case .end: endTurn(answers: true)
        // Answers to nothing that was asked.
        case .setUp, .memoryReady, .shared: break
        }
    }

    private func begin(_ strategy: any PinStrategy.Type, _ cache: PageCount) {
        do {
            let turn = try ServedTurn(
                strategy.init(arena: try Arena(attaching: surroundings.arena)), cache: cache,
                in: surroundings,
                memory: view, ask: ask)
            self.turn = turn
            queues.pinRings(turn)
            say(.begun(setupPin: turn.setupPin))
        } catch {
            fail("\(error)")
        }
    }

    private func endTurn(answers: Bool) {
        guard let turn else {
            if answers { say(.ended(ServedTotals())) }
            return
        }
        turn.release()
        let totals = turn.finish()
        self.turn = nil
        if answers { say(.ended(totals)) }
    }

    private func say(_ report: ServedReport, _ text: String = "") {
        do throws(SystemError) {
            if try !control.answer(report, text: text) { farewell = (.closed, "") }
        } catch {
            farewell = (.failed, error.description)
        }
    }

    private func fail(_ text: String) { farewell = farewell ?? (.failed, text) }

    // MARK: The VMM

    private func listenToVMM() {
        var code = RequestCode.getFeatures
        var needsReply = false
        do throws(ProtocolError) {
            while farewell == nil {
                switch try connection.receive() {
                case .nothing: return
                case .end: farewell = (.closed, "")
                case .message(let message):
                    (code, needsReply) = (message.request.code, message.needsReply)
                    let answer = try backend.handle(message)
                    try carryOut(answer.effect)
                    if farewell != nil { return }
                    if let reply = answer.reply { try connection.send(reply) }
                }
            }
        } catch {
            if let refusal = backend.refusal(of: code, needsReply: needsReply) {
                try? connection.send(refusal)
            }
            farewell = (.closed, error.description)
        }
    }

    private func carryOut(_ effect: Effect) throws(ProtocolError) {
        switch effect {
        case .memoryChanged: changeMemory()
        case .queueStarted(let index): start(index)
        case .queueChanged(let index): queues.take(index, of: backend)
        case .stopQueues(let stopped):
            let next = stopped.map { queues.stop($0, turn, of: backend) }
            if let reply = backend.queuesStopped(at: next) { try connection.send(reply) }
        case .denied(let why): say(.queueLost(0), why)
        case .none, .featuresChanged, .dirtyLogChanged, .inflightChanged, .statusChanged: break
        }
    }

    private func start(_ index: Int) {
        do {
            try queues.start(index, view, turn, of: backend)
        } catch {
            farewell = (.closed, "queue \(index): \(error)")
        }
    }

    // MARK: Guest memory

    /// Gives up what the old memory's pins were, and goes on in the new memory once the hypervisor has made its pages
    /// what they are to be.
    private func changeMemory() {
        let regions = backend.memory.regions.map(\.guestRegion)
        let end = regions.map(\.range.upper).max() ?? 0
        guard end <= setup.pageLimit.rawValue else {
            farewell = (.tooMuchMemory(PageCount(end)), "")
            return
        }
        // Not kept: what stands behind its pins comes to its end as well.
        let old = turn.map { ($0.strategy, $0.cache, $0.figures) }
        turn?.release()
        turn = nil
        surroundings.telemetry.regions = regions.map(\.range)
        say(.memoryChanged)
        do {
            guard try wait(for: .memoryReady) else { return }
            view = try GuestView(regions)
            try queues.move(to: view, of: backend)
            if let (strategy, cache, figures) = old {
                let turn = try ServedTurn(
                    strategy, cache: cache, in: surroundings, memory: view, ask: ask,
                    figures: figures)
                self.turn = turn
                queues.pinRings(turn)
            }
        } catch {
            return fail("\(error)")
        }
        catchUp()
    }

    /// Has the hypervisor share pages that never were, under `--implicit`; whether it did, the next pin tells.
    private var ask: ((PageRange) -> Void)? {
        guard setup.isImplicit else { return nil }
        return { [unowned self] range in
            say(.share(range))
            do throws(SystemError) {
                _ = try wait(for: .shared)
            } catch {
                fail(error.description)
            }
        }
    }

    private enum Awaited { case memoryReady, shared }

    /// Waits for the hypervisor's answer, and remembers what it says besides; false where it has gone.
    private func wait(for answer: Awaited) throws(SystemError) -> Bool {
        while farewell == nil, let (command, _) = try control.receive(ServedCommand.self) {
            switch (command, answer) {
            case (.memoryReady, .memoryReady), (.shared, .shared): return true
            case (.end, _): isEndWanted = true
            case (.begin(let strategy, let cache), _): wanted = (strategy, cache)
            case (.setUp, _), (.memoryReady, _), (.shared, _): break
            }
        }
        farewell = farewell ?? (.closed, "")
        return false
    }

    /// What it wanted meanwhile.
    private func catchUp() {
        if isEndWanted {
            isEndWanted = false
            endTurn(answers: true)
        }
        if let (strategy, cache) = wanted.take() { begin(strategy.type, cache) }
    }
}
