#if DEBUG || TWINS
    import Glibc

    /// A program that writes a row to a file, with one thing wrong where that fails, which a campaign must notice.
    enum CallTwin: String, CaseIterable {
        /// Nothing is wrong with it.
        case sound
        case ignoresIt, writesHalf, leaksPins, hangs, crashes, leavesAProcess, saysNothing
        case blamesAnother

        /// What a campaign says of it.
        var complaint: String? {
            switch self {
            case .sound: nil
            case .ignoresIt: "ends with 0, not with 74"
            case .writesHalf: "rows.csv ends in half a row"
            case .leaksPins: "rows.csv tells of pins that are left"
            case .hangs: "hangs: harness in "
            case .crashes: "crashes: harness: "
            case .leavesAProcess: "leaves behind: stranger in "
            case .saysNothing: "does not say in one line why"
            case .blamesAnother: "ends with 70, not with 74"
            }
        }

        /// The program itself.
        func run() -> Never {
            _ = fcntl(STDIN_FILENO, F_GETFD)
            let row = Array("strategy,leaked_pins\n".utf8)
            var file: Int32
            repeat { file = open("rows.csv", O_WRONLY | O_CREAT, 0o600) } while failed(file, EINTR)
            if file < 0 { Self.end(74, complaining: true) }
            var done = 0
            while done < row.count {
                let count = row.withUnsafeBytes {
                    write(file, $0.baseAddress! + done, row.count - done)
                }
                if count >= 0 { done += count } else if errno != EINTR { goWrong(file, row) }
            }
            exit(0)
        }

        private func failed(_ result: Int32, _ code: Int32) -> Bool { result < 0 && errno == code }

        private func goWrong(_ file: Int32, _ row: [UInt8]) -> Never {
            let code = errno
            switch self {
            case .sound: break
            case .ignoresIt: Self.end(0, complaining: false)
            case .writesHalf: _ = write(file, row, 3)
            case .leaksPins:
                let text = row + Array("rangetree,1\n".utf8)
                _ = pwrite(file, text, text.count, 0)
            case .hangs: while true { pause() }
            case .crashes: abort()
            case .leavesAProcess:
                let words = ["sleep", "1000"]
                let arguments = words.map { strdup($0) } + [nil]
                var child: pid_t = 0
                _ = posix_spawn(&child, "/bin/sleep", nil, nil, arguments, nil)
            case .saysNothing: Self.end(74, complaining: false)
            case .blamesAnother:
                errno = code
                Self.end(70, complaining: true)
            }
            errno = code
            Self.end(74, complaining: true)
        }

        private static func end(_ status: Int32, complaining: Bool) -> Never {
            let line = "dma-bench: rows.csv: \(String(cString: strerror(errno)))\n"
            if complaining { _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) } }
            _exit(status)
        }

        /// Whether a campaign says of it what it should.
        var isCaught: Bool {
            do {
                var calls = try Calls(
                    of: "/proc/self/exe", ["twin", rawValue], patience: 300, isQuiet: true)
                _ = try calls.run(seconds: 60)
                guard let complaint else { return calls.complaints.isEmpty }
                // Whatever else it does, it is right.
                return !calls.complaints.isEmpty
                    && calls.complaints.allSatisfy { $0.hasPrefix(complaint) }
            } catch {
                complain("\(error)")
                return false
            }
        }
    }
#endif
