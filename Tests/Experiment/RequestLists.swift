import DmaWriter
import GuestMemory
import PinLock
import Settings

@testable import Experiment

/// Short names for what tests vary.
extension Request {
    var strategies: [any PinStrategy.Type] {
        get { values(of: \.strategy).map(\.type) }
        set { vary(\.strategy, over: newValue.map { StrategyID($0) }, option: "--strategy") }
    }
    var sizes: [PageCount] {
        get { values(of: \.size) }
        set { vary(\.size, over: newValue, option: "--size") }
    }
    var chunks: [PageCount] {
        get { values(of: \.chunk).compactMap(\.self) }
        set { vary(\.chunk, over: newValue, option: "--chunk") }
    }
    var ranges: [Int] {
        get { values(of: \.ranges) }
        set { vary(\.ranges, over: newValue, option: "--ranges") }
    }
    var misalignments: [PageCount] {
        get { values(of: \.misalignment) }
        set { vary(\.misalignment, over: newValue, option: "--misalign") }
    }
    var devices: [Int] {
        get { values(of: \.devices) }
        set { vary(\.devices, over: newValue, option: "--devices") }
    }
    var engines: [FillEngine] {
        get { values(of: \.engine) }
        set { vary(\.engine, over: newValue, option: "--engine") }
    }
    var backings: [Backing] {
        get { values(of: \.backing) }
        set { vary(\.backing, over: newValue, option: "--backing") }
    }
    var policies: [ConflictPolicy.Kind] {
        get { values(of: \.policy) }
        set { vary(\.policy, over: newValue, option: "--policy") }
    }
    var convertRates: [LoopRate] {
        get { values(of: \.convertRate) }
        set { vary(\.convertRate, over: newValue, option: "--convert-rate") }
    }
    var convertPages: [PageCount] {
        get { values(of: \.convertPages) }
        set { vary(\.convertPages, over: newValue, option: "--convert-pages") }
    }
}
