//! Which path answers what.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse};
use axum::routing::get;

use super::{About, health, page, status};
use crate::health::Watcher;

#[derive(Clone)]
struct Served {
    about: About,
    watcher: Watcher,
}

pub(super) fn router(about: About, watcher: Watcher) -> Router {
    Router::new()
        .route("/", get(status_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status_document))
        .route("/metrics", get(metrics))
        .with_state(Served { about, watcher })
}

async fn livez(State(served): State<Served>) -> impl IntoResponse {
    let live = health::live(&served.watcher.latest());
    (code(live.ok), NOT_STORED, axum::Json(live))
}

async fn readyz(State(served): State<Served>) -> impl IntoResponse {
    let ready = health::ready(&served.watcher.latest());
    (code(ready.ok), NOT_STORED, axum::Json(ready))
}

async fn status_document(State(served): State<Served>) -> impl IntoResponse {
    let document = status::Document::new(&served.about, &served.watcher.latest());
    (NOT_STORED, axum::Json(document))
}

async fn status_page(State(served): State<Served>) -> impl IntoResponse {
    let document = status::Document::new(&served.about, &served.watcher.latest());
    (NOT_STORED, [(CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(page::render(&document)))
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    (NOT_STORED, [(CONTENT_TYPE, PROMETHEUS_TEXT)], served.watcher.metrics())
}

fn code(ok: bool) -> StatusCode {
    if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

const NOT_STORED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The page has its style inside and loads nothing.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
