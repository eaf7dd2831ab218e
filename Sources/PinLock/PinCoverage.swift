/// How many of a device's own pins each page is under, as steps: a count holds from its page to the next step's.
///
/// For structures that do not count, in which two pins of one device are one: it tells what no other pin needs.
struct PinCoverage {
    /// In ascending order, no two neighbours with the same count; before the first, and from the last on, none.
    private var steps: [(page: UInt64, pins: Int)] = []

    mutating func add(_ pages: Range<UInt64>) {
        let first = step(at: pages.lowerBound)
        let end = step(at: pages.upperBound)
        for index in first..<end { steps[index].pins += 1 }
        dropIfLevel(end)
        dropIfLevel(first)
    }

    /// Takes one pin of the pages away, and calls `body` with each run of pages that is under no other.
    mutating func remove(_ pages: Range<UInt64>, _ body: (Range<UInt64>) -> Void) {
        let first = step(at: pages.lowerBound)
        let end = step(at: pages.upperBound)
        for index in first..<end {
            steps[index].pins -= 1
            if steps[index].pins == 0 { body(steps[index].page..<steps[index + 1].page) }
        }
        dropIfLevel(end)
        dropIfLevel(first)
    }

    /// The index of the step that begins with `page`, which there is from now on.
    private mutating func step(at page: UInt64) -> Int {
        var low = 0
        var high = steps.count
        while low < high {
            let middle = (low + high) / 2
            if steps[middle].page < page { low = middle + 1 } else { high = middle }
        }
        if low == steps.count || steps[low].page != page {
            steps.insert((page, low == 0 ? 0 : steps[low - 1].pins), at: low)
        }
        return low
    }

    private mutating func dropIfLevel(_ index: Int) {
        if steps[index].pins == (index == 0 ? 0 : steps[index - 1].pins) {
            steps.remove(at: index)
        }
    }
}
