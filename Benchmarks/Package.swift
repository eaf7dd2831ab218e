// swift-tools-version: 6.2
import PackageDescription

// A package of its own: the benchmark library is many times the size of what it measures, and no build or test of
// dma-bench should wait for it.
let package = Package(
    name: "micro-benchmarks",
    dependencies: [
        .package(name: "dma-bench", path: "../"),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.0", traits: []),
    ],
    targets: [
        .executableTarget(
            name: "Micro",
            dependencies: [
                .product(name: "PinLock", package: "dma-bench"),
                .product(name: "DmaWriter", package: "dma-bench"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Micro",
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)],
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .systemLibrary(
            name: "CCapstone", path: "CCapstone", pkgConfig: "capstone",
            providers: [.apt(["libcapstone-dev"])]),
        .target(name: "CCounts", dependencies: ["CCapstone"], path: "CCounts"),
        .executableTarget(
            name: "Counts",
            dependencies: ["CCounts", .product(name: "PinLock", package: "dma-bench")],
            path: "Counts",
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
        .target(name: "CLimits", path: "CLimits", cSettings: [.unsafeFlags(["-O2"])]),
        .executableTarget(
            name: "Limits",
            dependencies: [
                "CLimits",
                .product(name: "PinLock", package: "dma-bench"),
                .product(name: "DmaWriter", package: "dma-bench"),
            ],
            path: "Limits",
            swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]),
    ]
)
