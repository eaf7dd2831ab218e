import DmaLinux
import DmaWriter
import Glibc
import GuestMemory

/// The first 64-bit word of the buffer that is not `word`, found without any of the module's code.
func firstWord(in buffer: UnsafeMutableRawBufferPointer, otherThan word: UInt64) -> Int? {
    let words = buffer.bindMemory(to: UInt64.self)
    return words.firstIndex { $0 != word }
}

/// The state (`R`, `S`, ...; proc(5)) of each thread of this process whose name starts with
/// `prefix`, by name.
func threadStates(named prefix: String) -> [String: Character] {
    var states: [String: Character] = [:]
    guard let directory = opendir("/proc/self/task") else { return [:] }
    defer { closedir(directory) }
    while let entry = readdir(directory) {
        let id = withUnsafeBytes(of: entry.pointee.d_name) {
            String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
        }
        guard let file = fopen("/proc/self/task/\(id)/stat", "r") else { continue }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        guard fgets(&line, 512, file) != nil else { continue }
        // "id (name) state ..."
        let text = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")") else {
            continue
        }
        let name = String(text[text.index(after: open)..<close])
        if name.hasPrefix(prefix) { states[name] = text[text.index(close, offsetBy: 2)] }
    }
    return states
}

/// Waits until the condition holds; false where it has not in 20 s.
func eventually(_ condition: () -> Bool) -> Bool {
    let deadline = Deadline.after(milliseconds: 20_000)
    while !condition() {
        if deadline.hasPassed { return false }
        sleep(until: .after(milliseconds: 1))
    }
    return true
}

/// What read(2) of /dev/zero into the buffer returns: bytes, or -errno.
func readZeros(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let file = open("/dev/zero", O_RDONLY)
    defer { close(file) }
    let count = read(file, buffer.baseAddress, buffer.count)
    return count < 0 ? -Int(errno) : count
}
