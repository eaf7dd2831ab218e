import Glibc

/// The first `limit` bytes of a file, as of /proc and /sys; nil where it cannot be read.
public func readSmallFile(_ path: String, limit: Int = 1 << 16) -> String? {
    let number = uninterrupted { open(path, O_RDONLY | O_CLOEXEC) }
    guard number >= 0 else { return nil }
    let file = FileDescriptor(owning: number)
    var bytes = [UInt8](repeating: 0, count: limit)
    var length = 0
    while length < limit {
        let count = bytes.withUnsafeMutableBytes { rest in
            uninterrupted { read(file.raw, rest.baseAddress! + length, limit - length) }
        }
        if count > 0 {
            length += count
        } else if count == 0 {
            break
        } else {
            return nil
        }
    }
    return String(decoding: bytes.prefix(length), as: UTF8.self)
}

/// The names in a directory, sorted; empty where it cannot be read.
public func listDirectory(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
}
