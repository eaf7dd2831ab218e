// swift-tools-version: 6.2
import PackageDescription

// A module imports only modules of layers below its own; docs/design.md has them all.
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]
let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

/// What results say they were measured with. A build keeps what the manifest said last, unless it is told not to: the
/// Makefile does.
let revision = Context.gitInformation.map {
    $0.currentCommit + ($0.hasUncommittedChanges ? "+" : "")
}

func module(_ name: String, on dependencies: Target.Dependency...) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func suite(
    _ name: String, on dependencies: Target.Dependency..., excluding excluded: [String] = []
) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: dependencies, path: "Tests/" + name, exclude: excluded,
        swiftSettings: strict)
}

let package = Package(
    name: "dma-bench",
    products: [
        .executable(name: "dma-bench", targets: ["dma-bench"]),
        .library(name: "PinLock", targets: ["PinLock", "GuestMemory", "Linux"]),
        .library(name: "DmaWriter", targets: ["DmaWriter"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // Layer 0: C, one system call or instruction each
        .target(
            name: "CLinux",
            cSettings: strictC + [
                .define("DMA_BENCH_REVISION", to: "\"\(revision ?? "unknown")\"")
            ]),
        .systemLibrary(name: "CNuma", pkgConfig: "numa", providers: [.apt(["libnuma-dev"])]),
        // Layer 1: the kernel in Swift
        module("Linux", on: "CLinux"),
        // Layer 1 as well: numbers alone
        module("Statistics"),
        // Layer 2
        module("GuestMemory", on: "Statistics", "Linux", "CLinux", "CNuma"),
        module(
            "Telemetry", on: "Linux", "CLinux",
            .product(name: "Histogram", package: "hdrhistogram-swift")),
        // Layer 3
        module("PinLock", on: "GuestMemory", "Linux", "CLinux"),
        module("DmaWriter", on: "GuestMemory", "Linux", "CLinux"),
        module("Virtqueue", on: "GuestMemory"),
        module("VhostUser", on: "GuestMemory", "Linux"),
        module("Trace", on: "GuestMemory", "Linux"),
        // Layer 4: what a turn is asked to do, from the command line to the device
        module("Settings", on: "PinLock", "DmaWriter", "GuestMemory"),
        // Layer 4 as well: how a broken promise shows
        module("Oracle", on: "DmaWriter", "GuestMemory", "Linux"),
        // Layer 5
        module(
            "Guest", on: "Settings", "Virtqueue", "Trace", "GuestMemory", "Statistics", "Telemetry",
            "Linux"),
        module(
            "VirtualDevice", on: "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "VhostUser", "Trace", "GuestMemory", "Statistics", "Telemetry", "Linux"),
        // Layer 6
        module(
            "Hypervisor",
            on: "Guest", "VirtualDevice", "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "GuestMemory", "Telemetry", "Linux"),
        // Layer 7: what is measured
        module(
            "Turn",
            on: "Hypervisor", "Guest", "VirtualDevice", "Oracle", "Settings", "PinLock",
            "DmaWriter",
            "Virtqueue", "GuestMemory", "Telemetry", "Linux"),
        // Layer 7 as well: the same for a guest of somebody else's
        module(
            "Service", on: "Hypervisor", "Guest", "VirtualDevice", "Oracle", "Settings", "PinLock",
            "GuestMemory", "Statistics", "Telemetry", "Linux"),
        // Layer 8
        module(
            "Experiment", on: "Turn", "Trace", "Hypervisor", "VirtualDevice", "Guest", "Settings",
            "PinLock",
            "DmaWriter", "Virtqueue", "GuestMemory", "Statistics", "Telemetry", "Linux"),
        module("Report", on: "Statistics", "Linux"),
        // Layer 9
        module("Analysis", on: "Report", "Statistics", "Linux"),
        module("MachineProbe", on: "Report", "Linux"),
        // Layer 10
        .executableTarget(
            name: "dma-bench",
            dependencies: [
                "Analysis", "MachineProbe", "Report", "Experiment", "Service", "Turn", "Hypervisor",
                "VirtualDevice",
                "Settings", "Trace",
                "PinLock", "DmaWriter", "GuestMemory", "Telemetry", "Linux", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        suite("Statistics", on: "Statistics"),
        suite("Linux", on: "Linux", "CLinux", "MadeUpMachine"),
        suite("GuestMemory", on: "GuestMemory", "Linux", "MadeUpMachine"),
        suite("Telemetry", on: "Telemetry", "Linux"),
        suite("PinLock", on: "PinLock", "GuestMemory", "Statistics", "Linux", "CRefuse"),
        suite("DmaWriter", on: "DmaWriter", "GuardedMemory", "GuestMemory", "Linux", "CLinux"),
        suite("Oracle", on: "Oracle", "DmaWriter", "GuardedMemory", "GuestMemory", "Linux"),
        suite("Virtqueue", on: "Virtqueue", "GuestMemory", "Statistics", "Linux"),
        suite("VhostUser", on: "VhostUser", "GuestMemory", "Statistics", "Linux"),
        suite("Trace", on: "Trace", "GuestMemory", "Statistics", "Linux"),
        suite("Report", on: "Report", "Linux"),
        suite("MachineProbe", on: "MachineProbe", "Report", "Linux", "MadeUpMachine"),
        suite("Analysis", on: "Analysis", "Report", "Statistics", "Linux"),
        suite(
            "Guest", on: "Guest", "Settings", "Virtqueue", "Trace", "DmaWriter", "GuestMemory",
            "Statistics",
            "Telemetry", "Linux"),
        suite(
            "VirtualDevice",
            on: "VirtualDevice", "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "GuestMemory",
            "Statistics",
            "Telemetry", "Linux"),
        suite(
            "Hypervisor",
            on: "Hypervisor", "Guest", "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "GuestMemory", "Linux"),
        suite("Turn", on: "Turn"),
        suite("Service", on: "Service", "GuestMemory"),
        suite(
            "Experiment", on: "Experiment", "Settings", "Guest", "Trace", "PinLock", "DmaWriter",
            "GuestMemory"),
        suite("Options", on: "dma-bench", "Experiment", "Settings", "Report", "GuestMemory"),
        suite(
            "EndToEnd", on: "dma-bench", "VhostUser", "Trace", "GuestMemory", "Linux", "CLinux",
            "CRefuse",
            excluding: ["Golden", "CRefuse"]),
        .target(name: "CRefuse", path: "Tests/EndToEnd/CRefuse", cSettings: strictC),
        // Pages between guard pages.
        .target(
            name: "GuardedMemory", dependencies: ["GuestMemory", "Linux"],
            path: "Tests/GuardedMemory", swiftSettings: strict),
        // /proc and /sys of machines that nobody has.
        .target(
            name: "MadeUpMachine", dependencies: ["Linux"], path: "Tests/MadeUpMachine",
            swiftSettings: strict),
        // Kills devices at single instructions: `make torture`.
        .target(name: "CTorture", path: "Tests/Torture/Shim", cSettings: strictC),
        .executableTarget(
            name: "torture",
            dependencies: ["PinLock", "GuestMemory", "Statistics", "Linux", "CTorture"],
            path: "Tests/Torture/Program", swiftSettings: strict),
        .testTarget(
            name: "TortureTests", dependencies: ["torture", "PinLock"], path: "Tests/Torture/Suite",
            swiftSettings: strict),
    ]
)

// Whoever needs the suites of a few modules in a build of their own, with a sanitizer say, is spared the others.
if let modules = Context.environment["DMA_BENCH_SUITES"]?.split(whereSeparator: \.isWhitespace) {
    let suites = Set(modules.map { "\($0)Tests" })
    package.targets.removeAll { $0.type == .test && !suites.contains($0.name) }
}
