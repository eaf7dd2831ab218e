import Glibc

/// What a descriptor's terminal is like.
public enum Terminal {
    /// Whether a person may be looking.
    public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// What the terminal calls itself; nil where nobody says.
    public static var type: String? { getenv("TERM").map { String(cString: $0) } }

    /// Whether a terminal of that type is there and understands escape sequences (ECMA-48). One that does not is called
    /// `dumb`, or nothing.
    public static func takesEscapes(_ descriptor: Int32, type: String? = Terminal.type) -> Bool {
        isTerminal(descriptor) && !["dumb", "", nil].contains(type)
    }

    /// Characters in a line; nil where there is no terminal or it does not say.
    public static func width(of descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }
}
