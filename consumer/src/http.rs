//! `/metrics`, `/healthz` and `/readyz`, on a thread of their own.

use crate::health::{Health, State, Trouble};
use crate::metrics::Metrics;
use anyhow::Context;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common::decode::harmless;
use prometheus_client::registry::Registry;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tracing::info;

/// Where to serve, as a flag.
///
/// # Errors
/// Says what was expected.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected an address with its port, such as 127.0.0.1:9600 (port 0 is any free one), not '{text}'"
        )
    })
}

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
        .with_context(|| {
            format!(
                "--metrics-addr {address} can't be listened on (a second consumer on one machine needs another one: port \
                 0 is any free one)"
            )
        })?;
    info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let registry = Arc::new(registry);
    let app = Router::new()
        .route("/", get(async || "/metrics\n/healthz\n/readyz\n"))
        .route(
            "/metrics",
            get({
                let health = health.clone();
                move |headers: HeaderMap| async move {
                    metrics.sample(&health);
                    exposition(&headers, &registry)
                }
            }),
        )
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

/// OpenMetrics for who asks for it, as Prometheus does, else Prometheus' older text format.
fn exposition(headers: &HeaderMap, registry: &Registry) -> Response {
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
    }
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/openmetrics-text") {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return ([(header::CONTENT_TYPE, kind)], text).into_response();
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text_format(&text)).into_response()
}

/// The older format describes a counter under its whole name, and knows neither units nor an end.
fn text_format(open_metrics: &str) -> String {
    let mut counters = HashSet::new();
    for line in open_metrics.lines() {
        counters.extend(line.strip_prefix("# TYPE ").and_then(|line| line.strip_suffix(" counter")));
    }
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(keyword), Some(name), Some(rest)) if counters.contains(name) => {
                text.push_str(&format!("# {keyword} {name}_total {rest}"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn healthz(health: &Health) -> (StatusCode, &'static str) {
    if health.alive() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a worker hangs\n")
    }
}

fn readyz(health: &Health) -> (StatusCode, String) {
    match health.state() {
        State::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".into()),
        State::Standby { holder } => (StatusCode::OK, format!("standby: the file is held by {holder}\n")),
        // Degraded is not dead: what can go on does, and a restart would mend nothing.
        State::Active => (StatusCode::OK, active(&health.troubles())),
        State::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into()),
    }
}

fn active(troubles: &[Trouble]) -> String {
    let mut text = if troubles.is_empty() { "active\n" } else { "active, degraded:\n" }.to_owned();
    for trouble in troubles {
        // It repeats what brokers, Redis and the names of files say.
        text.push_str(&format!("  {}\n", harmless(&trouble.to_string())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(parse_address("[::1]:9600").map(|address| address.port()), Ok(9600));
        for text in ["none", "9600", "127.0.0.1", ""] {
            assert!(parse_address(text).unwrap_err().contains("127.0.0.1:9600"), "{text}");
        }
    }

    #[test]
    fn both_formats_say_the_same() {
        let open_metrics = "# HELP in Events taken.\n# TYPE in counter\nin_total 7\n# HELP lag_bytes Lag.\n\
                            # TYPE lag_bytes gauge\n# UNIT lag_bytes bytes\nlag_bytes{p=\"in\"} 1\n# EOF\n";
        let expected = "# HELP in_total Events taken.\n# TYPE in_total counter\nin_total 7\n# HELP lag_bytes Lag.\n\
                        # TYPE lag_bytes gauge\nlag_bytes{p=\"in\"} 1\n";
        assert_eq!(text_format(open_metrics), expected);
    }
}
