import CTorture
import DmaLinux
import Glibc

/// What a run has left in its directory, by name; standard output among it.
typealias Leavings = [String: String]

/// Whether a run whose call failed ended as it should: what docs/design.md says under "When something fails".
struct Verdict {
    /// The run without a failure: what it left, and the lines it said on standard error.
    let reference: Leavings
    let said: [Substring]
    let directory: String
    /// The command line, for the files that it names.
    let arguments: [String]

    /// The name that standard output has among what is left.
    static let output = "standard output"

    /// The first thing that is not as it must be.
    func complaint(
        _ ending: TracedProgram.Ending, _ mishap: Mishap, lasts: Bool, errors: String,
        left: Leavings
    ) -> String? {
        guard let call = ending.failed else { return nil }
        if !ending.crashes.isEmpty { return "crashes: " + ending.crashes.joined(separator: ", ") }
        guard let status = ending.status else {
            return "hangs: " + ending.hanging.joined(separator: ", ")
        }
        if !ending.hanging.isEmpty {
            return "leaves behind: " + ending.hanging.joined(separator: ", ")
        }
        var allowed = statuses(call, mishap)
        // What lasts may have come to the output since, or to what the run needs.
        if lasts, allowed != [74] { allowed.formUnion([69, 74]) }
        guard allowed.contains(status) else {
            let wanted = allowed.sorted().map(String.init).joined(separator: " or ")
            return "ends with \(status), not with \(wanted)"
        }
        return complaint(about: errors, status, call, mishap)
            ?? complaint(about: left, status, mishap)
    }

    /// What the run may end with: 0 is right only where it is as if nothing had happened, which is looked at apart.
    private func statuses(_ call: TracedProgram.Call, _ mishap: Mishap) -> Set<Int32> {
        if mishap.isPassing { return [0] }
        if call.path.hasPrefix(directory) {
            // What has been written is on the disk when a file is closed, and a look at it may not matter.
            let isLook = [SYS_close, SYS_mkdir, SYS_newfstatat, SYS_readlink].contains(
                call.spot.number)
            return isLook ? [0, 74] : [74]
        }
        // What is read, and what may lie beside it.
        if arguments.contains(where: { $0.hasPrefix("/") && call.path.hasPrefix($0) }) {
            return [0, 64]
        }
        switch call.spot.caller {
        case .harness, .stranger: return [0, 69]
        // The device says what it was refused, or could not any more.
        case .device, .child: return [0, 69, 70]
        }
    }

    /// A word about it, in one line of its own; nothing where nothing was wrong.
    private func complaint(
        about errors: String, _ status: Int32, _ call: TracedProgram.Call, _ mishap: Mishap
    ) -> String? {
        let lines = errors.split(separator: "\n").filter { !said.contains($0) }
        // What a device cannot hear after its last turn changes nothing.
        guard status != 0 else {
            let isLate = call.spot.caller != .harness
            return lines.isEmpty || isLate ? nil : "ends with 0, and complains"
        }
        guard !lines.isEmpty, lines.allSatisfy({ $0.hasPrefix("dma-bench: ") }) else {
            return "does not say in one line why"
        }
        if lines.contains(where: { $0.contains("\(mishap)") }) { return nil }
        // A device that has died without a word is named.
        if call.spot.caller != .harness, errors.contains("device ") { return nil }
        // Libraries between the kernel and us keep the number to themselves: libnuma; the C library for a thread, for
        // which it says "unavailable" where memory is short. We say which memory.
        let isOfMemory = [.error(ENOMEM), .error(EHWPOISON)].contains(mishap)
        let words = isOfMemory ? [" memory ", "\(Mishap.error(EAGAIN))"] : []
        return (words + ["lacks or denies"]).contains { errors.contains($0) }
            ? nil : "does not say: \(mishap)"
    }

    private func complaint(
        about left: Leavings, _ status: Int32, _ mishap: Mishap
    ) -> String? {
        if let stray = left.keys.first(where: { reference[$0] == nil }) { return "leaves \(stray)" }
        for (name, text) in left {
            guard status == 0 || Self.isWhole(name, text) || text == reference[name] else {
                return "\(name) ends in half a row"
            }
            if Self.hasLeaks(text) { return "\(name) tells of pins that are left" }
        }
        guard status == 0 else { return nil }
        for (name, text) in reference {
            guard let found = left[name] else { return "ends with 0 without \(name)" }
            // A page may say itself what it lacks.
            guard Self.agree(name, found, text) || found.contains("\(mishap)") else {
                return "ends with 0 and a wrong \(name)"
            }
        }
        return nil
    }

    // MARK: What is written

    /// Whether it ends with a row, where it has rows: anything else is written at once or not at all.
    private static func isWhole(_ name: String, _ text: String) -> Bool {
        let rows = fields(text)
        switch name.split(separator: ".").last {
        case "csv":
            return text.isEmpty
                || text.hasSuffix("\n") && rows.allSatisfy { $0.count == rows[0].count }
        case "json": return text.hasSuffix("}\n")
        default: return name == output && (text.isEmpty || text.hasSuffix("\n"))
        }
    }

    private static func hasLeaks(_ text: String) -> Bool {
        let rows = fields(text)
        guard let place = rows.first?.firstIndex(of: "leaked_pins") else { return false }
        // A run that does not come so far counts none.
        return rows.dropFirst().contains { $0.count > place && !["", "0"].contains($0[place]) }
    }

    /// Whether two runs have written the same but for what they measured, and what they say of the machine.
    private static func agree(_ name: String, _ found: String, _ expected: String) -> Bool {
        if name.hasSuffix(".env.json") { return found.hasSuffix("}\n") }
        guard expected.hasPrefix("schema,") else {
            return name.hasSuffix(".csv") || found == expected
        }
        let (rows, wanted) = (fields(found), fields(expected))
        guard rows.first == wanted.first, rows.count == wanted.count else { return false }
        let fixed = [
            "status", "strategy", "round", "size_bytes", "violations_private", "leaked_pins",
        ]
        let places = fixed.compactMap { wanted[0].firstIndex(of: $0) }
        return places.count == fixed.count
            && zip(rows, wanted).allSatisfy { row, other in
                row.count == other.count && places.allSatisfy { row[$0] == other[$0] }
            }
    }

    /// The fields of every line; commas between quotes are part of a field.
    private static func fields(_ text: String) -> [[String]] {
        text.split(separator: "\n").map { line in
            var isQuoted = false
            let parts = line.split(omittingEmptySubsequences: false) { character in
                if character == "\"" { isQuoted.toggle() }
                return character == "," && !isQuoted
            }
            return parts.map(String.init)
        }
    }
}
