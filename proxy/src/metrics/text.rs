//! The numbers as Prometheus reads them: text exposition format 0.0.4.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use xds::reuse::Tally;

use crate::cause::Cause;

use super::histogram::Total;
use super::{Counter, Metrics, PerWorker, Series};

/// What is served, beside what was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// How many configs have gone live.
    pub(crate) generation: u64,
    /// Problems of the resources that were sent last.
    pub(crate) problems: usize,
    /// Virtual hosts that the control plane sent.
    pub(crate) virtual_hosts: Tally,
    /// How often a config could not be stored for the next start.
    pub(crate) store_failures: u64,
    /// Whether the control plane is there.
    pub(crate) connected: bool,
    /// Whether the proxy is on its way out.
    pub(crate) draining: bool,
    /// Lookups of the names of clusters, by outcome.
    pub(crate) lookups: [(&'static str, u64); 3],
    /// The revision that requests are served by; 0 if it has no number.
    pub(crate) live_revision: u64,
    /// The revision that can be switched to at once; 0 if there is none.
    pub(crate) staged_revision: u64,
    /// The revision that was last live without a lease; 0 if there is none.
    pub(crate) confirmed_revision: u64,
    /// How long the lease of what is live has yet to run; zero if it has none.
    pub(crate) lease_left: Duration,
    /// How often a lease ran out and the proxy went back.
    pub(crate) reverts: u64,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes all metrics.
pub(crate) fn render(metrics: &Metrics, state: State) -> String {
    let mut text = String::with_capacity(16 * 1024);
    // Writing to a string does not fail.
    let _ = write_all(&mut text, metrics, state);
    text
}

fn write_all(text: &mut String, metrics: &Metrics, state: State) -> fmt::Result {
    write_config(text, state)?;
    write_revisions(text, state)?;
    write_process(text, metrics, state)?;
    write_listeners(text, metrics)?;
    write_clusters(text, metrics)
}

fn write_config(text: &mut String, state: State) -> fmt::Result {
    head(
        text,
        "config_generation",
        "gauge",
        "Configs that have gone live.",
    )?;
    sample(text, "config_generation", &[], state.generation)?;
    head(
        text,
        "config_problems",
        "gauge",
        "Problems of the resources that were sent last.",
    )?;
    sample(text, "config_problems", &[], state.problems)?;
    let counters = [
        (
            "config_virtual_hosts_compiled_total",
            "Virtual hosts that were new or had changed, and were compiled.",
            state.virtual_hosts.compiled,
        ),
        (
            "config_virtual_hosts_reused_total",
            "Virtual hosts that were sent again and kept their compiled form.",
            state.virtual_hosts.reused,
        ),
        (
            "config_store_failures_total",
            "Configs that could not be stored for the next start.",
            state.store_failures,
        ),
        (
            "config_reverts_total",
            "Leases that ran out, whereupon what was confirmed went live again.",
            state.reverts,
        ),
    ];
    for (name, help, value) in counters {
        head(text, name, "counter", help)?;
        sample(text, name, &[], value)?;
    }
    Ok(())
}

/// Which revisions are where, and for how long.
fn write_revisions(text: &mut String, state: State) -> fmt::Result {
    let gauges = [
        (
            "config_live_revision",
            "The revision that requests are served by; 0 if it has no number.",
            state.live_revision,
        ),
        (
            "config_staged_revision",
            "The revision that can be switched to at once; 0 if there is none.",
            state.staged_revision,
        ),
        (
            "config_confirmed_revision",
            "The revision that was last live without a lease; 0 if there is none.",
            state.confirmed_revision,
        ),
    ];
    for (name, help, value) in gauges {
        head(text, name, "gauge", help)?;
        sample(text, name, &[], value)?;
    }
    let name = "config_lease_seconds";
    let help = "How long what is live may stay so unless that is renewed or confirmed; 0 if it has no lease.";
    head(text, name, "gauge", help)?;
    sample(text, name, &[], state.lease_left.as_secs_f64())
}

fn write_process(text: &mut String, metrics: &Metrics, state: State) -> fmt::Result {
    head(
        text,
        "xds_connected",
        "gauge",
        "1 while the control plane is there.",
    )?;
    sample(text, "xds_connected", &[], u8::from(state.connected))?;
    head(
        text,
        "draining",
        "gauge",
        "1 while the proxy is on its way out.",
    )?;
    sample(text, "draining", &[], u8::from(state.draining))?;
    let (name, help) = (
        "dns_lookups_total",
        "Lookups of names of clusters, by outcome.",
    );
    head(text, name, "counter", help)?;
    for (outcome, count) in state.lookups {
        sample(text, name, &[("outcome", outcome)], count)?;
    }
    head(
        text,
        "failures_total",
        "counter",
        "Failed requests by cause.",
    )?;
    for cause in Cause::ALL {
        let count = metrics.process.sum(|slot| &slot.failures[cause.index()]);
        sample(text, "failures_total", &[("cause", cause.code())], count)?;
    }
    head(
        text,
        "accept_errors_total",
        "counter",
        "Connections that could not be accepted.",
    )?;
    let errors = metrics.process.sum(|slot| &slot.accept_errors);
    sample(text, "accept_errors_total", &[], errors)
}

fn write_listeners(text: &mut String, metrics: &Metrics) -> fmt::Result {
    let mut table = Table {
        text,
        label: "listener",
        series: metrics.listeners(),
    };
    table.numbers(
        "listener_connections_total",
        "counter",
        "Connections accepted.",
        |slot| &slot.connections,
    )?;
    table.numbers(
        "listener_connections",
        "gauge",
        "Connections open now.",
        |slot| &slot.open,
    )?;
    table.numbers(
        "listener_requests_total",
        "counter",
        "Requests read.",
        |slot| &slot.requests,
    )?;
    table.classes(
        "listener_responses_total",
        "Responses sent, by class.",
        |slot| &slot.responses,
    )?;
    table.numbers(
        "listener_upgrades_total",
        "counter",
        "Requests that switched to another protocol.",
        |slot| &slot.upgrades,
    )?;
    table.numbers(
        "listener_upgraded_connections",
        "gauge",
        "Connections open now that have switched to another protocol.",
        |slot| &slot.upgraded,
    )
}

fn write_clusters(text: &mut String, metrics: &Metrics) -> fmt::Result {
    let mut table = Table {
        text,
        label: "cluster",
        series: metrics.clusters(),
    };
    table.numbers(
        "cluster_requests_total",
        "counter",
        "Requests sent upstream.",
        |slot| &slot.requests,
    )?;
    table.classes(
        "cluster_responses_total",
        "Upstream responses, by class.",
        |slot| &slot.responses,
    )?;
    table.numbers(
        "cluster_failures_total",
        "counter",
        "Requests without a whole response.",
        |slot| &slot.failures,
    )?;
    table.numbers(
        "cluster_active_requests",
        "gauge",
        "Requests in flight now.",
        |slot| &slot.active,
    )?;
    table.numbers(
        "cluster_retries_total",
        "counter",
        "Requests sent again.",
        |slot| &slot.retries,
    )?;
    let name = "cluster_request_duration_seconds";
    head(
        table.text,
        name,
        "histogram",
        "From the request's head to the response's end.",
    )?;
    for (cluster, slots) in &table.series {
        let total = Total::of(slots.iter().map(|slot| &slot.duration));
        write_histogram(table.text, name, cluster, &total)?;
    }
    Ok(())
}

fn write_histogram(text: &mut String, name: &str, cluster: &str, total: &Total) -> fmt::Result {
    let bucket = format!("{name}_bucket");
    for (bound_s, below) in total.doublings() {
        let bound = bound_s.to_string();
        sample(
            text,
            &bucket,
            &[("cluster", cluster), ("le", &bound)],
            below,
        )?;
    }
    let count = total.count();
    sample(
        text,
        &bucket,
        &[("cluster", cluster), ("le", "+Inf")],
        count,
    )?;
    sample(
        text,
        &format!("{name}_sum"),
        &[("cluster", cluster)],
        total.sum_s(),
    )?;
    sample(
        text,
        &format!("{name}_count"),
        &[("cluster", cluster)],
        count,
    )
}

/// The series of one kind, written metric by metric as the format asks.
struct Table<'t, T> {
    text: &'t mut String,
    label: &'static str,
    series: Vec<Series<T>>,
}

impl<T: Default> Table<'_, T> {
    fn numbers(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        number: impl Fn(&T) -> &Counter,
    ) -> fmt::Result {
        head(self.text, name, kind, help)?;
        for (series, slots) in &self.series {
            let sum = PerWorker::sum(slots, &number);
            sample(self.text, name, &[(self.label, series)], sum)?;
        }
        Ok(())
    }

    fn classes(
        &mut self,
        name: &str,
        help: &str,
        numbers: impl Fn(&T) -> &[Counter; 5],
    ) -> fmt::Result {
        head(self.text, name, "counter", help)?;
        for (series, slots) in &self.series {
            for (index, class) in CLASSES.into_iter().enumerate() {
                let sum = slots.sum(|slot| &numbers(slot)[index]);
                sample(
                    self.text,
                    name,
                    &[(self.label, series), ("class", class)],
                    sum,
                )?;
            }
        }
        Ok(())
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP signalbox_proxy_{name} {help}")?;
    writeln!(text, "# TYPE signalbox_proxy_{name} {kind}")
}

fn sample(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    value: impl Display,
) -> fmt::Result {
    write!(text, "signalbox_proxy_{name}")?;
    for (index, (label, content)) in labels.iter().enumerate() {
        let opening = if index == 0 { '{' } else { ',' };
        write!(text, "{opening}{label}=\"{}\"", Escaped(content))?;
    }
    if !labels.is_empty() {
        text.push('}');
    }
    writeln!(text, " {value}")
}

/// A label's value: backslash, quote and line feed are escaped.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn text_of(metrics: &Metrics) -> String {
        render(
            metrics,
            State {
                generation: 3,
                problems: 0,
                virtual_hosts: Tally::default(),
                store_failures: 0,
                connected: true,
                draining: false,
                lookups: [("found", 1), ("empty", 0), ("failed", 0)],
                live_revision: 2,
                staged_revision: 0,
                confirmed_revision: 1,
                lease_left: Duration::from_millis(1500),
                reverts: 0,
            },
        )
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let metrics = Metrics::new(1);
        let slots = metrics.listener(&Arc::from("a\"b\\c\nd"));
        slots.of(0).requests.inc();
        let line = "signalbox_proxy_listener_requests_total{listener=\"a\\\"b\\\\c\\nd\"} 1\n";
        assert!(text_of(&metrics).contains(line));
    }

    #[test]
    fn every_sample_follows_the_description_of_its_metric() {
        let metrics = Metrics::new(2);
        let slots = metrics.cluster(&Arc::from("a"));
        slots.of(1).duration.record(Duration::from_millis(3));
        let mut current = String::new();
        for line in text_of(&metrics).lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                described
                    .split(' ')
                    .next()
                    .unwrap()
                    .clone_into(&mut current);
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&current), "{line} under {current}");
            }
        }
    }

    #[test]
    fn a_histogram_ends_with_all_it_counted() {
        let metrics = Metrics::new(1);
        let slots = metrics.cluster(&Arc::from("a"));
        slots.of(0).duration.record(Duration::from_millis(250));
        let text = text_of(&metrics);
        let name = "signalbox_proxy_cluster_request_duration_seconds";
        assert!(text.contains(&format!("{name}_bucket{{cluster=\"a\",le=\"+Inf\"}} 1\n")));
        assert!(text.contains(&format!("{name}_sum{{cluster=\"a\"}} 0.25\n")));
        assert!(text.contains(&format!("{name}_count{{cluster=\"a\"}} 1\n")));
    }
}
