// swift-tools-version: 6.2
import PackageDescription

// A package of its own: the product does not depend on swift-syntax, which takes minutes to build.
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

let package = Package(
    name: "Schemata",
    dependencies: [
        .package(url: "https://github.com/swiftlang/swift-syntax", exact: "603.0.1")
    ],
    targets: [
        .target(
            name: "Schemata",
            dependencies: [
                .product(name: "SwiftSyntax", package: "swift-syntax"),
                .product(name: "SwiftOperators", package: "swift-syntax"),
                .product(name: "SwiftParser", package: "swift-syntax"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "schemata-rewrite", dependencies: ["Schemata"], swiftSettings: strict),
        .testTarget(
            name: "SchemataTests", dependencies: ["Schemata"], path: "Tests", swiftSettings: strict),
    ]
)
