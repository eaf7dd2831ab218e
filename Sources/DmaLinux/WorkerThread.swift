import CLinux
import Glibc

/// A thread of this process; its owner joins it.
public struct WorkerThread: ~Copyable, Sendable {
    private let handle: pthread_t

    /// Starts `body` on a new thread. The name, of at most 15 bytes, is for `ps -L`.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        var handle = pthread_t()
        let box = Unmanaged.passRetained(Body(name: name, run: body))
        let result = pthread_create(
            &handle, nil,
            { argument in
                let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
                _ = clinux_name_thread(body.name)
                body.run()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            box.release()
            throw SystemError(
                "pthread_create", code: result, on: name,
                advice: "see ulimit -u and /proc/sys/kernel/threads-max")
        }
        self.handle = handle
    }

    /// Waits until the body has returned.
    public consuming func join() {
        pthread_join(handle, nil)
    }
}

/// Names the calling thread for `ps`; a main thread's name is its process's. At most 15 bytes count.
public func nameThisThread(_ name: String) { _ = clinux_name_thread(name) }

/// Runs `body` with its locals at the same places within their pages, whenever the program starts.
///
/// The kernel starts a main thread's stack at a place of its own choice, in steps of 16 bytes. A load from an address
/// that agrees with an earlier store's in its last twelve bits waits for that store, so that without this the same loop
/// takes several per cent more or less from start to start. A thread's own stack begins at a page anyway.
public func onEvenStack(_ body: () -> Void) {
    withoutActuallyEscaping(body) { body in
        var body = body
        withUnsafeMutablePointer(to: &body) {
            clinux_call_on_even_stack({ $0!.load(as: (() -> Void).self)() }, $0)
        }
    }
}

/// A thread in a box, so that there can be an array of them.
public final class JoinableThread {
    private var thread: WorkerThread?

    public init(_ thread: consuming WorkerThread) { self.thread = consume thread }

    /// Waits until the body has returned; a second call returns at once.
    public func join() {
        guard let thread = thread.take() else { return }
        thread.join()
    }
}

private final class Body: Sendable {
    let name: String
    let run: @Sendable () -> Void

    init(name: String, run: @escaping @Sendable () -> Void) {
        self.name = name
        self.run = run
    }
}
