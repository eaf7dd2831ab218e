/// What was done to a strategy, and what came of it.
struct Figures: CustomStringConvertible {
    var kills = 0
    /// Of those, beside a device that stood still in the middle of something.
    var halts = 0
    /// Recoveries that were put off until that one had gone on.
    var postponed = 0
    /// Instructions after which a device can be killed; those that have changed something for others; how many of the
    /// latter were tried. None where nobody looked.
    var instructions = 0
    var visible = 0
    var visibleTried = 0
    var conversions = 0
    /// From the recovery on to the end of the guest's first conversion, at most.
    var firstConversionNanoseconds: UInt64 = 0
    /// Of those, after more than a second.
    var late = 0

    static func += (sum: inout Figures, part: Figures) {
        sum.kills += part.kills
        sum.halts += part.halts
        sum.postponed += part.postponed
        sum.instructions += part.instructions
        sum.visible += part.visible
        sum.visibleTried += part.visibleTried
        sum.conversions += part.conversions
        sum.late += part.late
        sum.firstConversionNanoseconds = max(
            sum.firstConversionNanoseconds, part.firstConversionNanoseconds)
    }

    var description: String {
        let places =
            instructions == 0
            ? ""
            : """
             at \(visibleTried) of \(visible) instructions that others see and \
            \(kills - visibleTried) times at others of \(instructions)
            """
        return """
            \(kills) kills\(places), \(halts) of them beside a stopped device (\(postponed) waited for it); \
            \(conversions) conversions, the first after \(firstConversionNanoseconds / 1000) us at most, \(late) late
            """
    }
}
