import DmaLinux
import Glibc

/// What only the whole program shows. Its path is in DMA_BENCH_BINARY.
func programTargets() throws -> [Target] {
    guard let path = getenv("DMA_BENCH_BINARY") else {
        print("(the program's own targets: name it in DMA_BENCH_BINARY)")
        return []
    }
    let program = String(cString: path)
    let options = "--size 1G --strategy none,perpage,rangetree --convert-rate 0 --rounds 12"
    let runs = [rows(of: "\(program) \(options)"), rows(of: "\(program) \(options)")]
    let throughput = runs.map { ratio($0, "dma_ns_p50", "none", "rangetree") }
    let hot = runs.map { ratio($0, "pair_hot_ns", "perpage", "rangetree") }
    let outside = runs[0].compactMap { $0["outside_share"].flatMap { Double($0) } }
    let starts = (0..<11).map { _ in
        let start = monotonicNanoseconds()
        _ = rows(of: "\(program) --size 4K --no-write --rounds 1 --ops 1")
        return Double(monotonicNanoseconds() - start) / 1e9
    }
    let ones = Array(repeating: 1.0, count: 64)
    return [
        Target("DMA of 1 GiB: none to rangetree", .atLeast(0.99), throughput[0]),
        Target("outside pin, write and unpin", .atMost(0.01), Ratio(outside, to: ones)),
        Target("the same run twice: DMA", .atMost(1.03), change(throughput)),
        Target("the same run twice: hot pair", .atMost(1.03), change(hot)),
        Target("a whole run of one DMA, in seconds", .atMost(0.3), Ratio(starts, to: ones)),
    ]
}

/// How far the medians of two runs are apart: the larger over the smaller.
private func change(_ runs: [Ratio]) -> Ratio {
    let change = runs[0].median / runs[1].median
    return Ratio([max(change, 1 / change)], to: [1])
}

/// A column of one strategy over that of another, round by round.
private func ratio(_ rows: [[String: String]], _ column: String, _ one: String, _ other: String)
    -> Ratio
{
    func times(_ strategy: String) -> [Double] {
        rows.filter { $0["strategy"] == strategy }.sorted {
            Int($0["round"]!)! < Int($1["round"]!)!
        }
        .compactMap { $0[column].flatMap { Double($0) } }
    }
    return Ratio(times(one), to: times(other))
}

/// The rows that a command writes as CSV, by column. None of the columns read here is ever quoted.
private func rows(of command: String) -> [[String: String]] {
    guard let pipe = popen(command, "r") else { return [] }
    defer { pclose(pipe) }
    var lines: [[String]] = []
    while let line = readLine(from: pipe) {
        lines.append(line.split(separator: ",", omittingEmptySubsequences: false).map(String.init))
    }
    guard let header = lines.first else { return [] }
    return lines.dropFirst().map { Dictionary(uniqueKeysWithValues: zip(header, $0)) }
}

private func readLine(from pipe: UnsafeMutablePointer<FILE>) -> String? {
    var buffer = [CChar](repeating: 0, count: 1 << 16)
    guard fgets(&buffer, Int32(buffer.count), pipe) != nil else { return nil }
    let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
}
