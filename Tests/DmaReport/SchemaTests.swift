import Testing

@testable import DmaReport

@Suite struct SchemaTests {
    /// Readers rely on this line: columns are only ever appended to it.
    @Test func headerIsPinned() {
        #expect(
            Format.csv.header
                == "schema,run,round,position,strategy,safe,policy,size_bytes,entry_bytes,"
                + "chunk_bytes,ranges,misalign_bytes,devices,engine,lanes,backing,memory_node,"
                + "device_cpu,vcpu_cpu,convert_rate_hz,convert_pages,convert_where,ops,refused,"
                + "pin_ns_p50,pin_ns_p99,pin_ns_max,write_ns_p50,write_ns_p99,write_ns_max,"
                + "unpin_ns_p50,unpin_ns_p99,unpin_ns_max,dma_ns_p50,dma_ns_p99,sync_share,"
                + "write_bytes_per_s,pair_hot_ns,conversions,conversions_denied,"
                + "conversions_waited,conversions_revoked,convert_ns_p50,convert_ns_p99,"
                + "convert_ns_max,violations_private,violations_stale,faults,leaked_pins,"
                + "metadata_bytes,setup_psc_ns,setup_pin_ns,splits,copy_ns_p50,clock_ns,noisy,"
                + "status,env,outside_share,enforce,on_fault,lost_bytes,surprises,recovery_ns_mean,"
                + "recovery_ns_max,convert_to,pool_bytes,buffers,shared_pages,shared_lines,retries,"
                + "cache_bytes,cache_hits,cache_misses,cache_merges,cache_invalidations,"
                + "cache_evictions,plan,revision,convert_ns_cdf,exclusion,convert_loop,denied_share,"
                + "denied_ns_max,convert_wait_ns_max,pin_wait_ns_max,pin_limit_bytes,"
                + "clock_step_ns,pin_ns_mean,unpin_ns_mean,convert_call_ns_p50,"
                + "convert_call_ns_p99,convert_undisturbed_ns_p99,conversions_disturbed,"
                + "convert_check_ns_mean,denied_call_ns_p50,denied_call_ns_p99,conversions_busy,"
                + "convert_wait,notify,device_busy,device_gaps,device_gap_share,device_gap_ns_max,"
                + "device_shared_share,device_wait_share,device_preempted,device_faults,"
                + "vcpu_gaps,vcpu_gap_share,vcpu_gap_ns_max,vcpu_shared_share,vcpu_wait_share,"
                + "vcpu_preempted,vcpu_faults,vcpu_step_ns_max,throttled_ns,stops,ran_cpu,"
                + "spread_bytes,guest,store,queues,in_requests,in_bytes,out_requests,"
                + "out_bytes,segments_p50,segments_p99,segments_max,depth_p50,depth_max,page_waits,"
                + "device_cpu_ns,convert_hold_ns,dma_rate_hz,dma_arrivals,depth,idle_ns,due_ns_p50,"
                + "due_ns_p99,backlog_max,direction,read_engine,trace,speed\n"
        )
        #expect(Schema.version == 2)
    }

    @Test func columnsAreThePropertiesOfARowInOrder() {
        let properties = Mirror(reflecting: Row.planned()).children.compactMap(\.label)
        #expect(Schema.columns.map(\.name) == properties.map(snakeCase))
    }

    /// A column that read another's property would show here: every property is set on its own.
    @Test func everyColumnReadsItsOwnProperty() throws {
        let row = Row.full
        for (column, child) in zip(Schema.columns, Mirror(reflecting: row).children) {
            let value = try #require(child.value as? any ColumnValue)
            #expect(column.value(of: row) == value.json, "\(column.name)")
        }
    }

    @Test func typesAndUnitsAreRegular() {
        for column in Schema.columns {
            #expect(["integer", "number", "text", "boolean", "list"].contains(column.type))
            let name = column.name
            #expect((column.unit == "ns") == (name.contains("_ns")), "\(name)")
            #expect((column.unit == "B") == name.hasSuffix("_bytes"), "\(name)")
            #expect(column.meaning.hasSuffix("."), "\(name)")
            #expect(!column.meaning.dropLast().contains(". "), "one sentence: \(name)")
        }
    }

    @Test func schemaIsItsOwnDocument() throws {
        let records = try StrictCSV.parse(Schema.csv)
        #expect(records.first == ["column", "type", "unit", "meaning"])
        #expect(records.dropFirst().map { $0[0] } == Schema.columns.map(\.name))
        #expect(records[25][0] == "pin_ns_p50")
        #expect(records[25][1...2] == ["number", "ns"])

        let lines = Schema.table.split(separator: "\n")
        #expect(lines.count == Schema.columns.count + 1)
        #expect(lines[0] == "column                      type     unit  meaning")
        #expect(
            lines[1]
                == "schema                      integer        Version of this list of columns.")
    }

    private func snakeCase(_ name: String) -> String {
        name.map { $0.isUppercase ? "_" + $0.lowercased() : String($0) }.joined()
    }
}
