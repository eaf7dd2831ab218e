import CLinux

/// What this binary was built from.
enum Build {
    static let version = "0.1.0"

    #if DEBUG
        static let mode = "debug"
    #else
        static let mode = "release"
    #endif

    /// The git revision, with a plus where there were uncommitted changes.
    static let revision = String(cString: clinux_build_revision())

    static var description: String { "dma-bench \(version) (\(mode))" }
}
