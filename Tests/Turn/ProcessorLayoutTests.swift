import Testing
import Turn

@Suite struct ProcessorLayoutTests {
    private func cores(_ count: Int) -> [[Int]] { (0..<count).map { [$0] } }

    private func layout(
        _ devices: Int, of cores: [[Int]],
        _ change: (inout ProcessorLayout.Wishes) -> Void = { _ in }
    ) -> ProcessorLayout {
        var wishes = ProcessorLayout.Wishes()
        change(&wishes)
        return ProcessorLayout(devices: devices, cores: cores, wishes: wishes)
    }

    @Test func onTwoProcessorsOneVCPUDoesEverything() {
        let layout = layout(1, of: cores(2))
        #expect(layout.devices == [1] && layout.vcpus == [0])
        #expect(!layout.devicesSleep && !layout.vcpusSleep && !layout.isOversubscribed)
        #expect(layout.vcpu(ofDriver: 0) == 0)
    }

    /// Nobody polls beside another on one processor.
    @Test func onOneProcessorEverybodySleeps() {
        let layout = layout(2, of: cores(1))
        #expect(layout.devices == [0, 0] && layout.vcpus == [0])
        #expect(layout.devicesSleep && layout.vcpusSleep && layout.isOversubscribed)
    }

    /// Device by device, processor by processor; then the converter's vCPU has one, the drivers share the rest.
    @Test(arguments: 1...20, [1, 2, 3, 4, 8, 16])
    func everybodyHasAProcessorWhereThereAreEnough(devices: Int, processors: Int) {
        let layout = layout(devices, of: cores(processors))
        let (own, vcpus) = (Set(layout.devices), Set(layout.vcpus))
        #expect(layout.devices.count == devices && (1...devices + 1).contains(layout.vcpus.count))
        let fits = devices < processors
        #expect(layout.isOversubscribed == !fits)
        #expect(layout.devicesSleep == !fits)
        #expect(layout.vcpusSleep == (processors == 1))
        if fits {
            #expect(own.count == devices && own.isDisjoint(with: vcpus))
            #expect(vcpus.count == layout.vcpus.count)
            #expect(layout.vcpus.count == 1 + min(devices, processors - devices - 1))
        } else if processors > 1 {
            #expect(own.count == processors - 1 && vcpus == [0])
        }
        for index in 0..<devices {
            let vcpu = layout.vcpu(ofDriver: index)
            #expect(layout.vcpus.indices.contains(vcpu))
            #expect(layout.vcpus.count == 1 || vcpu > 0, "a driver beside the converter")
        }
    }

    /// A device keeps its processor whatever the number of others: it is bound once in a run.
    @Test(arguments: [2, 3, 8, 16])
    func aDeviceKeepsItsProcessor(processors: Int) {
        let most = layout(15, of: cores(processors)).devices
        for count in 1...15 {
            #expect(layout(count, of: cores(processors)).devices == Array(most.prefix(count)))
        }
    }

    /// Hardware threads of one core are one place, as long as there are others.
    @Test func siblingsAreOnePlace() {
        let cores = [[0, 4], [1, 5], [2, 6], [3, 7]]
        let two = layout(2, of: cores)
        #expect(two.devices == [1, 2] && two.vcpus == [0, 3])
        let three = layout(3, of: cores)
        #expect(three.devices == [1, 2, 3] && three.vcpus == [0])
        let five = layout(5, of: cores)
        #expect(five.devices == [1, 2, 3, 4, 5] && five.vcpus == [0] && !five.isOversubscribed)
        #expect(layout(8, of: cores).isOversubscribed)
    }

    @Test func whatIsAskedForIsDone() {
        let here = layout(2, of: cores(4)) { $0.devices = 2 }
        #expect(here.devices == [2, 2] && here.devicesSleep && here.isOversubscribed)
        let there = layout(1, of: cores(4)) { $0.vcpus = [3] }
        #expect(there.vcpus.first == 3 && there.devices == [0] && !there.isOversubscribed)
        let list = layout(1, of: cores(4)) { $0.vcpus = [3, 2] }
        #expect(list.vcpus == [3, 2])
        let one = layout(1, of: cores(4)) { $0.vcpuCount = 1 }
        #expect(one.vcpus == [0] && one.vcpu(ofDriver: 0) == 0)
        let together = layout(1, of: cores(4)) { wishes in
            wishes.devices = 0
            wishes.vcpus = [0]
        }
        #expect(together.devicesSleep && together.vcpusSleep && together.isOversubscribed)
        let asleep = layout(1, of: cores(4)) { $0.sleeps = true }
        #expect(asleep.devicesSleep && asleep.vcpusSleep && !asleep.isOversubscribed)
    }
}
