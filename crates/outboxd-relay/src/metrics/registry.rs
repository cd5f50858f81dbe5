//! Metrics by name, with the shapes that the recorder does not have: one of several states, a
//! counter for each value of a label, a gauge that is not always known.

use std::collections::BTreeMap;

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

#[derive(Debug)]
pub(super) struct Registry {
    recorder: PrometheusRecorder,
}

/// One gauge for each state: 1 for the present one, 0 for the others.
#[derive(Debug)]
pub(super) struct OneHot {
    states: Vec<(&'static str, Gauge)>,
}

/// One counter for each value of a label.
#[derive(Debug)]
pub(super) struct Counters {
    name: &'static str,
    label: &'static str,
    counters: BTreeMap<String, Counter>,
}

/// Absent until it is known for the first time, and NaN when it is no longer.
#[derive(Debug)]
pub(super) struct MaybeGauge {
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
    gauge: Option<Gauge>,
}

impl Registry {
    pub(super) fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS);
        let builder = builder.expect("there are buckets, which is all that is asked of them");
        Self { recorder: builder.build_recorder() }
    }

    pub(super) fn handle(&self) -> PrometheusHandle {
        self.recorder.handle()
    }

    pub(super) fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.recorder.describe_counter(name.into(), None, help.into());
        self.recorder.register_counter(&Key::from_name(name), &METADATA)
    }

    pub(super) fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.recorder.describe_gauge(name.into(), None, help.into());
        self.recorder.register_gauge(&Key::from_name(name), &METADATA)
    }

    pub(super) fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        self.recorder.describe_histogram(name.into(), None, help.into());
        self.recorder.register_histogram(&Key::from_name(name), &METADATA)
    }

    pub(super) fn maybe_gauge(&self, name: &'static str, help: &'static str) -> MaybeGauge {
        self.recorder.describe_gauge(name.into(), None, help.into());
        MaybeGauge { name, label: None, gauge: None }
    }

    pub(super) fn counters(
        &self,
        name: &'static str,
        label: &'static str,
        help: &'static str,
    ) -> Counters {
        self.recorder.describe_counter(name.into(), None, help.into());
        Counters { name, label, counters: BTreeMap::new() }
    }

    pub(super) fn one_hot(
        &self,
        name: &'static str,
        label: &'static str,
        states: impl IntoIterator<Item = &'static str>,
        help: &'static str,
    ) -> OneHot {
        self.recorder.describe_gauge(name.into(), None, help.into());
        let state =
            |state| (state, self.recorder.register_gauge(&key(name, label, state), &METADATA));
        OneHot { states: states.into_iter().map(state).collect() }
    }
}

impl OneHot {
    pub(super) fn set(&self, present: Option<&str>) {
        for (state, gauge) in &self.states {
            gauge.set(if present == Some(state) { 1.0 } else { 0.0 });
        }
    }
}

impl Counters {
    pub(super) fn set(&mut self, registry: &Registry, value: &str, total: u64) {
        if !self.counters.contains_key(value) {
            let key = key(self.name, self.label, value.to_owned());
            let counter = registry.recorder.register_counter(&key, &METADATA);
            self.counters.insert(value.to_owned(), counter);
        }
        self.counters[value].absolute(total);
    }
}

impl MaybeGauge {
    pub(super) fn with(mut self, label: &'static str, value: &'static str) -> Self {
        self.label = Some((label, value));
        self
    }

    pub(super) fn set(&mut self, registry: &Registry, value: Option<f64>) {
        match (&self.gauge, value) {
            (Some(gauge), value) => gauge.set(value.unwrap_or(f64::NAN)),
            (None, Some(value)) => {
                let key = match self.label {
                    Some((label, labelled)) => key(self.name, label, labelled),
                    None => Key::from_name(self.name),
                };
                let gauge = registry.recorder.register_gauge(&key, &METADATA);
                gauge.set(value);
                self.gauge = Some(gauge);
            }
            (None, None) => {}
        }
    }
}

fn key(name: &'static str, label: &'static str, value: impl Into<::metrics::SharedString>) -> Key {
    Key::from_parts(name, vec![Label::new(label, value)])
}

/// The recorder asks for it and ignores it.
const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// From an ack on the same machine to a backlog of an hour.
const BUCKETS_SECONDS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 3600.0,
];
