//! Encodes a report as metrics.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::daemon::control::{MountReport, ScannersReport, SourceReport};
use crate::http::{CodeClass, Operation};

/// The prefix of every name.
const PREFIX: &str = "meetfs";

/// The values of the label `level`.
const MEMORY: &str = "memory";
const DISK: &str = "disk";

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Encodes a report of a live mount.
pub(crate) fn encode(report: MountReport) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(ReportCollector(report)));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct ReportCollector(MountReport);

impl Collector for ReportCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metrics = MetricsWriter(encoder);
        metrics.write_sources(&self.0)?;
        metrics.write_reads(&self.0)?;
        metrics.write_caches(&self.0)?;
        metrics.write_connections(&self.0)
    }
}

struct MetricsWriter<'a>(DescriptorEncoder<'a>);

impl MetricsWriter<'_> {
    fn counter<'a>(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        let samples = samples.into_iter();
        write_samples(encoder, samples.map(|(labels, value)| (labels, ConstCounter::new(value))))
    }

    fn gauge<'a>(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        let samples = samples.into_iter();
        write_samples(encoder, samples.map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    /// Writes points in time, in seconds since 1970. An absent one is 0.
    fn times<'a>(
        &mut self,
        (name, help): (&str, &str),
        samples: impl IntoIterator<Item = (Labels<'a>, Option<Timestamp>)>,
    ) -> fmt::Result {
        let seconds = |time: Option<Timestamp>| {
            time.map_or(0.0, |time| time.as_millisecond() as f64 / 1000.0)
        };
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Gauge);
        let encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        let samples = samples.into_iter();
        write_samples(
            encoder,
            samples.map(|(labels, time)| (labels, ConstGauge::new(seconds(time)))),
        )
    }

    fn write_sources(&mut self, report: &MountReport) -> fmt::Result {
        let sources = &report.sources;
        let each = |value: fn(&SourceReport) -> u64| {
            sources.iter().map(move |source| (labels_of(source), value(source)))
        };
        let each_time = |time: fn(&SourceReport) -> Option<Timestamp>| {
            sources.iter().map(move |source| (labels_of(source), time(source)))
        };
        self.gauge(
            ("source_meetings", "Number of meetings that the mount shows."),
            None,
            each(|source| source.totals.meetings),
        )?;
        self.gauge(
            ("source_files", "Number of files that the mount shows, without generated files."),
            None,
            each(|source| source.totals.files),
        )?;
        self.gauge(
            (
                "source_size",
                "Total size of the files that the mount shows, without generated files.",
            ),
            Some(Unit::Bytes),
            each(|source| source.totals.bytes),
        )?;
        self.times(
            (
                "source_last_refresh_timestamp",
                "Time of the last refresh that listed recordings; 0 if this mount has not listed \
                 any.",
            ),
            each_time(|source| source.listed_at),
        )?;
        self.times(
            (
                "source_last_full_refresh_timestamp",
                "Time of the last listing of all days, in this mount or an earlier one.",
            ),
            each_time(|source| source.fully_listed_at),
        )?;
        self.times(
            ("source_next_refresh_timestamp", "Time of the next refresh; 0 during a refresh."),
            each_time(|source| source.next_refresh_at),
        )?;
        self.counter(
            ("source_refreshes", "Number of refreshes, including failed ones."),
            None,
            each(|source| source.refreshes),
        )?;
        self.counter(
            (
                "source_failed_refreshes",
                "Number of refreshes that failed or did not list all days.",
            ),
            None,
            each(|source| source.failed_refreshes),
        )?;
        self.gauge(
            ("source_refresh_failing", "1 if the last refresh failed, otherwise 0."),
            None,
            each(|source| u64::from(source.error.is_some())),
        )?;
        self.gauge(
            ("source_incomplete_windows", "Number of ranges of days that could not be listed."),
            None,
            each(|source| source.incomplete_days.len() as u64),
        )?;
        self.gauge(
            ("source_refused_users", "Number of users that the provider refuses to list."),
            None,
            each(|source| source.refused_users.len() as u64),
        )?;
        self.gauge(
            (
                "source_failing_files",
                "Number of files whose reads fail at once, because their circuit breaker is open.",
            ),
            None,
            sources.iter().map(|source| {
                let failing = report.failing_files.iter().filter(|it| it.source == source.name);
                (labels_of(source), failing.map(|files| files.file_count).sum())
            }),
        )?;
        self.counter(
            ("source_requests", "Number of requests to the provider, by operation and code."),
            None,
            sources.iter().flat_map(|source| {
                Operation::ALL.into_iter().flat_map(move |operation| {
                    CodeClass::ALL.map(|code| {
                        let mut labels = labels_of(source);
                        labels.extend([("operation", operation.name()), ("code", code.name())]);
                        (labels, source.requests.sent(operation, code))
                    })
                })
            }),
        )?;
        self.counter(
            ("source_retries", "Number of requests that repeated a failed one, by operation."),
            None,
            sources.iter().flat_map(|source| {
                Operation::ALL.map(|operation| {
                    let mut labels = labels_of(source);
                    labels.push(("operation", operation.name()));
                    (labels, source.requests.retries(operation))
                })
            }),
        )?;
        self.counter(
            ("source_fetched", "Number of bytes of files that have arrived from the provider."),
            Some(Unit::Bytes),
            each(|source| source.requests.fetched_bytes),
        )
    }

    fn write_reads(&mut self, report: &MountReport) -> fmt::Result {
        self.times(
            ("mounted_timestamp", "Time at which the file system was mounted."),
            [(Vec::new(), report.mounted_at)],
        )?;
        let Some(reads) = &report.reads else { return Ok(()) };
        self.gauge(
            ("open_files", "Number of files that programs have open."),
            None,
            [(Vec::new(), reads.open_files)],
        )?;
        self.counter(
            ("read", "Number of bytes that programs have read through the daemon."),
            Some(Unit::Bytes),
            [(Vec::new(), reads.bytes)],
        )?;
        self.counter(
            (
                "failed_reads",
                "Number of reads that returned an error, without those of the limit for scanners.",
            ),
            None,
            [(Vec::new(), reads.failures)],
        )?;
        let scanners = report.scanners.as_ref();
        self.counter(
            ("scanner_fetched", "Number of bytes that were fetched for scanners."),
            Some(Unit::Bytes),
            [(Vec::new(), scanners.map_or(0, ScannersReport::fetched_bytes))],
        )?;
        self.counter(
            ("scanner_refused_reads", "Number of reads that the limit for scanners refused."),
            None,
            [(Vec::new(), scanners.map_or(0, ScannersReport::refused_reads))],
        )
    }

    fn write_caches(&mut self, report: &MountReport) -> fmt::Result {
        let (memory, disk) = (&report.memory, &report.disk);
        let levels = |memory_value: Option<u64>, disk_value: Option<u64>| {
            let level =
                |name, value: Option<u64>| value.map(|value| (vec![("level", name)], value));
            level(MEMORY, memory_value).into_iter().chain(level(DISK, disk_value))
        };
        self.counter(
            (
                "cache_hits",
                "memory: reads whose bytes were all in memory. disk: blocks that were loaded from \
                 disk.",
            ),
            None,
            levels(memory.as_ref().map(|it| it.hits), disk.as_ref().map(|it| it.hits)),
        )?;
        self.counter(
            (
                "cache_misses",
                "memory: reads that waited for the disk or the provider. disk: blocks, or parts \
                 of blocks, that were fetched because they were not on disk.",
            ),
            None,
            levels(memory.as_ref().map(|it| it.misses), disk.as_ref().map(|it| it.misses)),
        )?;
        self.gauge(
            (
                "cache_size",
                "Size of the cached blocks. For memory, this includes the buffers of running \
                 fetches.",
            ),
            Some(Unit::Bytes),
            levels(
                memory.as_ref().map(|it| it.used + it.reserved),
                disk.as_ref().map(|it| it.used),
            ),
        )?;
        self.gauge(
            ("cache_limit", "Maximum size of the cache."),
            Some(Unit::Bytes),
            levels(memory.as_ref().map(|it| it.limit), disk.as_ref().map(|it| it.limit)),
        )?;
        self.counter(
            ("cache_evicted_blocks", "Number of blocks that were evicted."),
            None,
            levels(
                memory.as_ref().map(|it| it.evicted_blocks),
                disk.as_ref().map(|it| it.evicted_blocks),
            ),
        )?;
        self.counter(
            (
                "cache_write_failures",
                "Number of blocks that were not written, because the disk was full, failing or \
                 slower than the network.",
            ),
            None,
            levels(None, disk.as_ref().map(|it| it.skipped_blocks)),
        )?;
        self.counter(
            (
                "cache_damaged_blocks",
                "Number of blocks on disk with a wrong checksum. They are fetched again.",
            ),
            None,
            levels(None, disk.as_ref().map(|it| it.damaged_blocks)),
        )?;
        self.gauge(
            (
                "cache_writable",
                "1 if blocks are written to disk, 0 if the disk is full, read-only or failing.",
            ),
            None,
            levels(None, disk.as_ref().map(|it| u64::from(it.is_written))),
        )
    }

    /// Writes the connections of all hosts together. A host is not a label: the number of download
    /// hosts is not bounded.
    fn write_connections(&mut self, report: &MountReport) -> fmt::Result {
        let hosts = &report.connections;
        self.gauge(
            ("connections", "Number of requests in flight."),
            None,
            [(Vec::new(), hosts.iter().map(|host| host.in_use).sum())],
        )?;
        self.gauge(
            ("waiting_requests", "Number of requests that wait for a connection."),
            None,
            [(Vec::new(), hosts.iter().map(|host| host.waiting).sum())],
        )?;
        self.gauge(
            (
                "connection_limit",
                "Maximum number of requests in flight. It falls temporarily when a host is \
                 overloaded.",
            ),
            None,
            [(Vec::new(), hosts.iter().map(|host| host.limit).sum())],
        )?;
        self.gauge(
            (
                "hosts_down",
                "Number of hosts whose circuit breaker is open. Reads that need them fail at once.",
            ),
            None,
            [(Vec::new(), report.hosts_down.len() as u64)],
        )
    }
}

fn labels_of(source: &SourceReport) -> Labels<'_> {
    vec![("source", &source.name), ("provider", &source.provider)]
}

fn write_samples<'a>(
    mut encoder: MetricEncoder<'_>,
    samples: impl Iterator<Item = (Labels<'a>, impl EncodeMetric)>,
) -> fmt::Result {
    for (labels, value) in samples {
        value.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::daemon::control::{DiskReport, MemoryReport, ReadsReport};

    fn report() -> MountReport {
        MountReport {
            dead_mount_error: None,
            reads: Some(ReadsReport::default()),
            memory: Some(MemoryReport::default()),
            disk: Some(DiskReport::default()),
            ..MountReport::for_dead_mount(Path::new("/mnt"))
        }
    }

    #[test]
    fn documentation_has_every_metric_and_its_help() {
        let text = encode(report());
        let comments: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect();
        let documentation = include_str!("../../../docs/metrics.md").replace('`', "");
        let rows = documentation.lines().filter(|line| line.starts_with("| meetfs_"));
        let documented: BTreeSet<String> = rows
            .flat_map(|row| {
                let cells: Vec<_> = row.trim_matches(['|', ' ']).split(" | ").collect();
                let [name, kind, meaning] = cells[..] else { panic!("{row}") };
                [format!("TYPE {name} {kind}"), format!("HELP {name} {meaning}")]
            })
            .collect();
        assert!(comments.len() > 40, "{text}");
        assert_eq!(comments, documented);
    }

    #[test]
    fn label_value_is_escaped() {
        let source = serde_json::json!({
            "name": "a\"b\nc", "provider": "zoom", "meetings": 1, "files": 2, "bytes": 3,
            "unavailable_files": 0, "processing_meetings": 0, "processing_files": 0,
            "empty_meetings": 0, "trashed_meetings": 0, "hidden_meetings": 0, "hidden_files": 0,
            "kept_deleted": 0, "is_refreshing": false, "incomplete": [],
        });
        let sources = vec![serde_json::from_value(source).unwrap()];
        let text = encode(MountReport { sources, ..report() });
        let sample = r#"meetfs_source_files{source="a\"b\nc",provider="zoom"} 2"#;
        assert!(text.lines().any(|line| line == sample), "{text}");
    }
}
