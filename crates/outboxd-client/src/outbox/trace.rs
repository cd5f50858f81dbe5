//! The trace context of the current span, as W3C headers, so that a consumer's work is seen as part of
//! the trace that wrote the event.

use opentelemetry::trace::TraceContextExt as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::event::Event;
use super::table::{Insert, Part};

/// Adds `traceparent`, and `tracestate` when there is one, unless the event brings its own. Without
/// a span that belongs to a trace, or a column for headers, nothing.
pub(super) fn add_context(insert: &Insert, event: &mut Event) {
    if event.headers.contains_key(TRACEPARENT) || !insert.parts.contains(&Part::Headers) {
        return;
    }
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return;
    }
    let flags = span.trace_flags().to_u8();
    let parent = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    event.headers.insert(TRACEPARENT.to_owned(), parent);
    let state = span.trace_state().header();
    if !state.is_empty() {
        event.headers.insert(TRACESTATE.to_owned(), state);
    }
}

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use opentelemetry::trace::{
        SpanContext, SpanId, TraceFlags, TraceId, TraceState, TracerProvider,
    };
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::outbox::{ColumnNames, OptionalColumn, Outbox};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// The headers of an event that is appended in a span of that trace.
    fn headers_in_span(outbox: &Outbox, event: Event) -> Vec<(String, String)> {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("place order");
            let remote = SpanContext::new(
                TraceId::from_hex(TRACE).unwrap(),
                SpanId::from_hex("00f067aa0ba902b7").unwrap(),
                TraceFlags::SAMPLED,
                true,
                TraceState::from_str("vendor=1").unwrap(),
            );
            let parent = opentelemetry::Context::new().with_remote_span_context(remote);
            span.set_parent(parent).unwrap();
            span.in_scope(|| headers(outbox, event))
        })
    }

    fn headers(outbox: &Outbox, mut event: Event) -> Vec<(String, String)> {
        add_context(&outbox.insert, &mut event);
        outbox.row(event.clone()).unwrap();
        event.headers.into_iter().collect()
    }

    #[test]
    fn an_event_carries_the_context_of_its_span() {
        let headers = headers_in_span(&Outbox::new(), Event::new("Order", 1, "Placed"));
        let [(parent, id), (state, vendor)] = &headers[..] else { panic!("{headers:?}") };
        assert_eq!((parent.as_str(), state.as_str()), (TRACEPARENT, TRACESTATE));
        assert_eq!(vendor, "vendor=1");
        // The span's own id, not that of its parent.
        assert!(id.starts_with(&PARENT[..36]) && id.ends_with("-01") && id != PARENT, "{id}");
        assert_eq!(id.len(), PARENT.len());
    }

    #[test]
    fn a_context_of_its_own_stays() {
        let event = Event::new("Order", 1, "Placed").header(TRACEPARENT, PARENT);
        let expected = [(TRACEPARENT.to_owned(), PARENT.to_owned())];
        assert_eq!(headers_in_span(&Outbox::new(), event), expected);
    }

    #[test]
    fn without_a_span_or_a_column_there_is_none() {
        assert_eq!(headers(&Outbox::new(), Event::new("Order", 1, "Placed")), []);
        let debezium = Outbox::new()
            .columns(ColumnNames { headers: OptionalColumn::Off, ..ColumnNames::default() });
        assert_eq!(headers_in_span(&debezium, Event::new("Order", 1, "Placed")), []);
    }
}
