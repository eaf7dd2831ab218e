import CLinux

/// How often this process was stopped, for whoever wants to know that its figures contain such a pause.
///
/// A process that was stopped goes on through SIGCONT alone (signal(7)), so those are counted; one that finds the
/// process running counts as well. What a debugger or a freezer (cgroups) stops sends none.
public enum StopCounter {
    /// Counts from now on, for this process: its children install their own.
    ///
    /// Calls that the signal comes in the way of go on by themselves (SA_RESTART), but for those that never do, such as
    /// poll(2), as after every stop.
    public static func install() throws(SystemError) {
        try check(clinux_count_continuations(), "sigaction", on: "SIGCONT")
    }

    /// SIGCONTs that this process has taken since `install`. One thread takes it, at any moment after the process goes
    /// on: another thread may for some microseconds see the old count.
    public static var count: UInt64 { clinux_continuations() }
}
