//! `/metrics`, `/healthz` and `/readyz`, on a thread of their own.

use crate::health::{Health, State};
use crate::metrics::Metrics;
use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tracing::info;

/// Starts serving.
///
/// # Errors
/// When the address can't be listened on.
pub fn serve(
    address: SocketAddr,
    registry: Registry,
    metrics: Metrics,
    health: Health,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("--metrics-addr {address} can't be listened on; choose another"))?;
    info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let registry = Arc::new(registry);
    let app = Router::new()
        .route("/metrics", get(move || async move { exposition(&registry, &metrics) }))
        .route(
            "/healthz",
            get({
                let health = health.clone();
                move || async move { healthz(&health) }
            }),
        )
        .route("/readyz", get(move || async move { readyz(&health) }));
    std::thread::Builder::new().name("http".into()).spawn(move || {
        if let Err(error) = runtime.block_on(async { axum::serve(listener, app).await }) {
            tracing::error!(%error, "the metrics server ended");
        }
    })?;
    Ok(())
}

fn exposition(registry: &Registry, metrics: &Metrics) -> Response {
    metrics.sample_memory();
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn healthz(health: &Health) -> (StatusCode, &'static str) {
    if health.alive() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the pipeline hangs\n")
    }
}

fn readyz(health: &Health) -> (StatusCode, String) {
    match health.state() {
        State::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".into()),
        State::Standby { holder } => (StatusCode::OK, format!("standby: the file is held by {holder}\n")),
        State::Active => (StatusCode::OK, "active\n".into()),
        State::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into()),
    }
}
