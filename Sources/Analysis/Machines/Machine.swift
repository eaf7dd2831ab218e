import DmaReport

/// A machine as the environment beside its rows tells it.
struct Machine: Sendable, Equatable {
    /// The hash that rows name.
    let env: String
    /// `AMD EPYC (AuthenticAMD 25/17/1), 2 processors`; nil where nobody says.
    let processor: String?
    /// The processor's model as it names itself.
    let model: String?
    /// `Linux 6.18.44 x86_64`.
    let kernel: String?
    /// Of all nodes, when the rows were measured.
    let memory: String?
    /// Mode and compiler.
    let build: String?

    /// Of an environment that nobody has described.
    init(env: String) {
        self.env = env
        (processor, model, kernel, memory, build) = (nil, nil, nil, nil, nil)
    }

    private init?(_ json: JSON) {
        guard let env = json["env"]?.text, let stable = json["stable"] else { return nil }
        self.env = Text.printable(env)
        let cpu = stable["cpu"]
        func text(_ json: JSON?) -> String? {
            json?.text.map { Text.wrapped(Text.printable($0), width: .max).joined() }
        }
        model = text(cpu?["model_name"])
        let numbers = ["family", "model", "stepping"].compactMap { text(cpu?[$0]) }
        let kind = ([text(cpu?["vendor"])] + [numbers.joined(separator: "/")])
            .compactMap(\.self).filter { !$0.isEmpty }.joined(separator: " ")
        let count = text(cpu?["count"]).map { $0 == "1" ? "1 processor" : "\($0) processors" }
        processor = model.map { model in
            ([kind.isEmpty ? model : "\(model) (\(kind))"] + [count].compactMap(\.self))
                .joined(separator: ", ")
        }
        let kernel = stable["kernel"]
        self.kernel = text(kernel?["release"]).map { release in
            (["Linux", release] + [text(kernel?["architecture"])].compactMap(\.self))
                .joined(separator: " ")
        }
        memory = json["volatile"]?["memory_kib"]?["MemTotal"]?.text.flatMap(Double.init)
            .flatMap {
                $0 > 0 && $0 < 1e15 ? Human.decimal($0 / 1_048_576, digits: 3) + " GiB" : nil
            }
        let build = [stable["build"]?["mode"], stable["build"]?["compiler"]].compactMap(text)
        self.build = build.isEmpty ? nil : build.joined(separator: ", ")
    }

    /// Those that a FILE.env.json describes: one, or after a merge several.
    static func all(in text: String) -> [Machine] {
        switch JSON(reading: Array(text.utf8)) {
        case .array(let values): values.compactMap(Machine.init)
        case let json?: [Machine(json)].compactMap(\.self)
        case nil: []
        }
    }

    /// Of every environment that the rows name, in the order of the rows.
    static func of(_ sources: [ReportSource]) -> [Machine] {
        let described = sources.flatMap { source in
            (try? source.environment.get()).map(all) ?? []
        }
        return Tally(sources.flatMap { $0.file.rows.map(\.env) }).entries.map { env, _ in
            described.first { $0.env == env } ?? Machine(env: env)
        }
    }

    /// What a reader wants of it, a thing a line; nothing where nobody says.
    var lines: [String] {
        [processor, [kernel, memory].compactMap(\.self).joined(separator: ", "), build]
            .compactMap(\.self).filter { !$0.isEmpty }
    }
}
