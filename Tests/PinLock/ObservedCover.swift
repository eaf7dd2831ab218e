import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// A cover as it is, of which a test hears whenever it is asked for a word.
struct ObservedCover<Original: CountedCover>: CountedCover {
    let original: Original
    let beforeWord: @Sendable () -> Void

    static var countBits: UInt64 { Original.countBits }
    static var guardBits: UInt64 { Original.guardBits }
    static var isPagewise: Bool { Original.isPagewise }

    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        original.forEachWord(range) { counted in
            beforeWord()
            return body(counted)
        }
    }
    func whatCloses(_ range: PageRange) -> PinRefusal? { original.whatCloses(range) }
    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
        original.pages(of: word)
    }
    func reach(of range: PageRange) -> PageRange { original.reach(of: range) }
    func extent(of range: PageRange) -> PageRange { original.extent(of: range) }
    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try original.forEachTouchedWord(body)
    }
}
