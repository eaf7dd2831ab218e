import CLinux

/// 64 bits that nobody else can guess (getrandom(2)).
public func randomWord() throws(SystemError) -> UInt64 {
    var word: UInt64 = 0
    try check(clinux_random(&word), "getrandom")
    return word
}
