import MadeUpMachine
import Testing

@testable import DmaLinux

@Suite struct ProcessorTests {
    @Test(
        arguments: [
            ("0\n", [0]), ("0-1,4\n", [0, 1, 4]), ("3,7", [3, 7]), ("0-3", [0, 1, 2, 3]),
            ("\n", []), ("", []), ("1023", [1023]),
        ] as [(String, [Int])])
    func listsOfTheKernel(text: String, numbers: [Int]) {
        #expect(Processors.parseList(text) == numbers)
    }

    @Test(
        arguments: [
            "x", "1,", ",1", "1-", "-1", "2-1", "1-2-3", "0x1", "1 2", "+1", "1024", "0-9999999999",
            "99999999999999999999",
        ])
    func whatIsNoList(text: String) {
        #expect(Processors.parseList(text) == nil)
    }

    private func machine(_ lists: [Int: String], _ name: String) throws -> MadeUpMachine {
        try MadeUpMachine(
            Dictionary(
                uniqueKeysWithValues: lists.map {
                    ("/sys/devices/system/cpu/cpu\($0)/topology/\(name)", $1)
                }))
    }

    @Test(arguments: ["core_cpus_list", "thread_siblings_list"])
    func hardwareThreadsOfACoreAreAGroup(name: String) throws {
        // Numbered as Linux does on one socket of four cores: the second threads come after all first ones.
        let pairs = (0..<8).map { ($0, "\($0 % 4),\($0 % 4 + 4)\n") }
        let machine = try machine(Dictionary(uniqueKeysWithValues: pairs), name)
        func cores(_ processors: [Int]) -> [[Int]] {
            Processors.cores(of: processors, files: machine.files)
        }
        #expect(cores(Array(0..<8)) == [[0, 4], [1, 5], [2, 6], [3, 7]])
        #expect(cores([7, 6, 5, 4, 3]) == [[3, 7], [4], [5], [6]])
        #expect(cores([5, 1, 5]) == [[1, 5]])
        #expect(cores([]) == [])
    }

    @Test func theNewerNameCounts() throws {
        let directory = "/sys/devices/system/cpu/cpu0/topology/"
        let machine = try MadeUpMachine([
            directory + "core_cpus_list": "0-1\n", directory + "thread_siblings_list": "0\n",
        ])
        #expect(Processors.cores(of: [0, 1], files: machine.files) == [[0, 1]])
    }

    @Test func aProcessorOfWhichNothingIsKnownIsAlone() throws {
        let machine = try machine([2: "2-3", 3: "2-3", 4: "nonsense"], "core_cpus_list")
        #expect(
            Processors.cores(of: [0, 1, 2, 3, 4], files: machine.files) == [[0], [1], [2, 3], [4]])
    }

    @Test func everyProcessorOfThisMachineIsInOneCore() throws {
        let allowed = try Processors.allowed()
        let cores = Processors.cores(of: allowed)
        #expect(cores.flatMap { $0 }.sorted() == allowed)
        #expect(cores.allSatisfy { $0 == $0.sorted() && !$0.isEmpty })
        #expect(cores.map { $0[0] } == cores.map { $0[0] }.sorted())
    }

    @Test func aBoundThreadKnowsWhereItIs() throws {
        let allowed = try Processors.allowed()
        try WorkerThread(name: "bound") {
            for processor in allowed {
                do {
                    try Processors.bind(to: processor)
                    #expect(Processors.current == processor)
                } catch {
                    Issue.record("\(error)")
                }
            }
        }.join()
    }
}
