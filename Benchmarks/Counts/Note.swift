import Glibc

/// A line to standard error.
func note(_ text: String) {
    let line = "counts: \(text)\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
}
