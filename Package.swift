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
        .library(name: "PinLock", targets: ["PinLock", "GuestMemory", "DmaLinux"]),
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
        module("DmaLinux", on: "CLinux"),
        // Layer 1 as well: numbers alone
        module("DmaStatistics"),
        // Layer 2
        module("GuestMemory", on: "DmaStatistics", "DmaLinux", "CLinux", "CNuma"),
        module(
            "Telemetry", on: "DmaLinux", "CLinux",
            .product(name: "Histogram", package: "hdrhistogram-swift")),
        // Layer 3
        module("PinLock", on: "GuestMemory", "DmaLinux", "CLinux"),
        module("DmaWriter", on: "GuestMemory", "DmaLinux", "CLinux"),
        module("Virtqueue", on: "GuestMemory"),
        module("VhostUser", on: "GuestMemory", "DmaLinux"),
        module("Trace", on: "GuestMemory", "DmaLinux"),
        // Layer 4: what a turn is asked to do, from the command line to the device
        module("Settings", on: "PinLock", "DmaWriter", "GuestMemory"),
        // Layer 4 as well: how a broken promise shows
        module("Oracle", on: "DmaWriter", "GuestMemory", "DmaLinux"),
        // Layer 5
        module(
            "Guest", on: "Settings", "Virtqueue", "Trace", "GuestMemory", "DmaStatistics",
            "Telemetry",
            "DmaLinux"),
        module(
            "VirtualDevice", on: "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "VhostUser", "Trace", "GuestMemory", "DmaStatistics", "Telemetry", "DmaLinux"),
        // Layer 6
        module(
            "Hypervisor",
            on: "Guest", "VirtualDevice", "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "GuestMemory", "Telemetry", "DmaLinux"),
        // Layer 7: what is measured
        module(
            "Turn",
            on: "Hypervisor", "Guest", "VirtualDevice", "Oracle", "Settings", "PinLock",
            "DmaWriter",
            "Virtqueue", "GuestMemory", "Telemetry", "DmaLinux"),
        // Layer 7 as well: the same for a guest of somebody else's
        module(
            "Service", on: "Hypervisor", "Guest", "VirtualDevice", "Oracle", "Settings", "PinLock",
            "GuestMemory", "DmaStatistics", "Telemetry", "DmaLinux"),
        // Layer 8
        module(
            "Experiment", on: "Turn", "Trace", "Hypervisor", "VirtualDevice", "Guest", "Settings",
            "PinLock",
            "DmaWriter", "Virtqueue", "GuestMemory", "DmaStatistics", "Telemetry", "DmaLinux"),
        module("DmaReport", on: "DmaStatistics", "DmaLinux"),
        // Layer 9
        module("Analysis", on: "DmaReport", "DmaStatistics", "DmaLinux"),
        module("MachineProbe", on: "DmaReport", "DmaLinux"),
        // Layer 10
        .executableTarget(
            name: "dma-bench",
            dependencies: [
                "Analysis", "MachineProbe", "DmaReport", "Experiment", "Service", "Turn",
                "Hypervisor",
                "VirtualDevice",
                "Settings", "Trace",
                "PinLock", "DmaWriter", "GuestMemory", "Telemetry", "DmaLinux", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        suite("DmaStatistics", on: "DmaStatistics"),
        suite("DmaLinux", on: "DmaLinux", "CLinux", "MadeUpMachine"),
        suite("GuestMemory", on: "GuestMemory", "DmaLinux", "MadeUpMachine"),
        suite("Telemetry", on: "Telemetry", "DmaLinux"),
        suite("PinLock", on: "PinLock", "GuestMemory", "DmaStatistics", "DmaLinux", "CRefuse"),
        suite("DmaWriter", on: "DmaWriter", "GuardedMemory", "GuestMemory", "DmaLinux", "CLinux"),
        suite("Oracle", on: "Oracle", "DmaWriter", "GuardedMemory", "GuestMemory", "DmaLinux"),
        suite("Virtqueue", on: "Virtqueue", "GuestMemory", "DmaStatistics", "DmaLinux"),
        suite("VhostUser", on: "VhostUser", "GuestMemory", "DmaStatistics", "DmaLinux"),
        suite("Trace", on: "Trace", "GuestMemory", "DmaStatistics", "DmaLinux"),
        suite("DmaReport", on: "DmaReport", "DmaLinux"),
        suite("MachineProbe", on: "MachineProbe", "DmaReport", "DmaLinux", "MadeUpMachine"),
        suite("Analysis", on: "Analysis", "DmaReport", "DmaStatistics", "DmaLinux"),
        suite(
            "Guest", on: "Guest", "Settings", "Virtqueue", "Trace", "DmaWriter", "GuestMemory",
            "DmaStatistics",
            "Telemetry", "DmaLinux"),
        suite(
            "VirtualDevice",
            on: "VirtualDevice", "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "GuestMemory",
            "DmaStatistics",
            "Telemetry", "DmaLinux"),
        suite(
            "Hypervisor",
            on: "Hypervisor", "Guest", "Oracle", "Settings", "PinLock", "DmaWriter", "Virtqueue",
            "GuestMemory", "DmaLinux"),
        suite("Turn", on: "Turn"),
        suite("Service", on: "Service", "GuestMemory"),
        suite(
            "Experiment", on: "Experiment", "Settings", "Guest", "Trace", "PinLock", "DmaWriter",
            "GuestMemory"),
        suite(
            "Options", on: "dma-bench", "Experiment", "Settings", "Trace", "DmaReport",
            "GuestMemory"),
        suite(
            "EndToEnd", on: "dma-bench", "VhostUser", "Trace", "GuestMemory", "DmaLinux", "CLinux",
            "CRefuse",
            excluding: ["Golden", "CRefuse"]),
        .target(name: "CRefuse", path: "Tests/EndToEnd/CRefuse", cSettings: strictC),
        // Pages between guard pages.
        .target(
            name: "GuardedMemory", dependencies: ["GuestMemory", "DmaLinux"],
            path: "Tests/GuardedMemory", swiftSettings: strict),
        // /proc and /sys of machines that nobody has.
        .target(
            name: "MadeUpMachine", dependencies: ["DmaLinux"], path: "Tests/MadeUpMachine",
            swiftSettings: strict),
        // Kills devices at single instructions: `make torture`.
        .target(name: "CTorture", path: "Tests/Torture/Shim", cSettings: strictC),
        .executableTarget(
            name: "torture",
            dependencies: ["PinLock", "GuestMemory", "DmaStatistics", "DmaLinux", "CTorture"],
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
