import Glibc
import Synchronization

/// Outside the type, so that a C function can reach it; `install` makes sure it exists before a signal comes.
private let interruptionRequested = Atomic<Bool>(false)

/// Ctrl-C and its relatives: the turn in hand ends, the rows so far are kept; the second one ends at once.
enum Interruption {
    static var isRequested: Bool { interruptionRequested.load(ordering: .relaxed) }

    static func install() {
        interruptionRequested.store(false, ordering: .relaxed)
        // A reader that has gone, a file that has grown too large: errors of the write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        // Were it ignored, as whoever has started us may have it, the kernel would not say how our children ended.
        signal(SIGCHLD, SIG_DFL)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in
                if interruptionRequested.exchange(true, ordering: .relaxed) {
                    _exit(Status.interrupted.rawValue)
                }
            }
            sigaction(number, &action, nil)
        }
    }
}
