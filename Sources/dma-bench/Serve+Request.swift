import Experiment
import GuestMemory
import PinLock
import Service
import Settings
import VirtualDevice

/// Where the store of a service is, as the command line names it.
enum NamedStore: Equatable {
    case sized(StoreKind, ByteCount)
    case file(String)

    static let usualSize = ByteCount(1 << 30)

    var kind: StoreKind {
        switch self {
        case .sized(let kind, _): kind
        case .file: .file
        }
    }

    /// As rows have it.
    var word: String { "\(kind)" }
}

extension ServeCommand {
    /// What the options ask for, and the names of the strategies that were left out of `all`, `safe` or `unsafe`.
    func request() throws(UsageError) -> (request: ServiceRequest, leftOut: [String]) {
        var request = ServiceRequest()
        let plain = try plainRequest()
        request.settings = plain.settings
        let named = Set(strategy.split(separator: ",").map(String.init))
        var leftOut: [String] = []
        for id in plain.values(of: \.strategy) {
            let name = id.type.info.name
            if let reason = ServiceRequest.refusal(of: id.type) {
                guard !named.contains(name) else {
                    throw UsageError(
                        "--strategy \(name): cannot serve a guest of somebody else's: \(reason); leave it out"
                    )
                }
                leftOut.append(name)
                continue
            }
            guard id.type.info.policies.contains(request.settings.policy) else {
                throw UsageError(
                    "--policy \(policy): strategy \(name) has none; it supports "
                        + id.type.info.policies.map(\.rawValue).joined(separator: ", "))
            }
            request.strategies.append(id)
        }
        request.turn = try Quantity.duration(
            turn, option: "--turn", in: 1_000_000...86_400_000_000_000)
        request.timeout = try Quantity.duration(
            requestTimeout, option: "--request-timeout", in: 1_000_000...60_000_000_000)
        request.hold = try Quantity.duration(
            convertHold, option: "--convert-hold", in: 0...60_000_000_000)
        request.queues = Int(try Quantity.count(queues, option: "--queues", in: 1...32))
        request.isImplicit = implicit
        request.pageLimit = try Quantity.pages(memoryLimit, option: "--memory-limit")
        request.cache = try Quantity.pages(cache, option: "--cache")
        return (request, leftOut)
    }

    /// Options that mean what they mean in a run, each with one value but for the strategies.
    private func plainRequest() throws(UsageError) -> Request {
        let texts = [
            "strategy": strategy, "engine": engine, "policy": policy, "convert-rate": convertRate,
            "convert-pages": convertPages, "convert-where": convertWhere, "seed": seed,
        ]
        for (name, text) in texts
        where name != "strategy" && text.contains(where: { ",.".contains($0) }) {
            throw UsageError("--\(name) \(text): one value; the strategies alone take turns")
        }
        var request = Request()
        for option in DmaBench.requestOptions {
            if let text = texts[option.name] { try option.read(text, &request) }
        }
        return request
    }

    func namedStore() throws(UsageError) -> NamedStore {
        let parts = store.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        if parts.count == 2, parts[0] == "file" {
            guard !parts[1].isEmpty else {
                throw UsageError(
                    "--store \(store): name a file or a block device, as in file:/tmp/disk")
            }
            return .file(parts[1])
        }
        let kinds: [(String, StoreKind?)] = [
            ("null", .null), ("fill", .fill), ("memory", .memory), ("file", nil),
        ]
        guard let kind = try Choice.named(parts[0], option: "--store", among: kinds) else {
            throw UsageError("--store file: name a file or a block device, as in file:/tmp/disk")
        }
        if parts.count == 1 {
            guard kind != .memory else {
                throw UsageError("--store memory: say how large the disk is, as in memory:1G")
            }
            return .sized(kind, NamedStore.usualSize)
        }
        return .sized(kind, try Quantity.pages(parts[1], option: "--store \(parts[0])").bytes)
    }

    /// All that decides what a turn measures, as text.
    func identity(_ request: ServiceRequest, _ store: NamedStore) -> String {
        let settings = request.settings
        return [
            "serve", request.strategies.map { $0.type.info.name }.joined(separator: ","),
            "\(settings.policy)", "\(settings.convertRate)", "\(settings.convertPages)",
            "\(settings.convertPlace)", "\(settings.engine)", "\(settings.seed)",
            "\(request.turn)", "\(request.hold)", "\(request.timeout)", "\(request.queues)",
            "\(request.isImplicit)", "\(request.cache)", "\(store)",
        ].joined(separator: ";")
    }
}
