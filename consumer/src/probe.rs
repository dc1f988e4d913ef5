//! `consumer health`: what a container's health check calls, since its image has no HTTP client.

use crate::http::parse_address;
use anyhow::{Context, bail};
use common::decode::harmless;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than any answer of a consumer.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Flags of `consumer health`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the consumer serves its metrics
    #[arg(long, env = "SLUICE_METRICS_ADDR", default_value = "127.0.0.1:9600", value_parser = parse_address, value_name = "ADDR:PORT")]
    metrics_addr: SocketAddr,
}

/// Asks `/healthz`.
///
/// # Errors
/// When nobody answers, or not HTTP.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let mut address = args.metrics_addr;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("no consumer answers on {address}: start it, or check --metrics-addr"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
    let answer = answer(stream).context("reading the answer")?;
    let Some(status) = answer.split(' ').nth(1) else { bail!("{address} does not speak HTTP") };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    println!("{}", harmless(body));
    Ok(status == "200")
}

/// Whoever listens there may say anything, and without an end.
fn answer(stream: impl Read) -> std::io::Result<String> {
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_end_ends() {
        assert_eq!(answer(std::io::repeat(b'x')).unwrap().len() as u64, MAX_ANSWER_BYTES);
        assert_eq!(answer(&b"ok\xff"[..]).unwrap(), "ok\u{fffd}");
    }
}
