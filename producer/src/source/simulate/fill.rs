//! Templates filled in with plausible values.
//!
//! Integers only: what is drawn is the same on every machine.

use rand::{Rng, RngExt};
use std::fmt::Write;

const PATHS: &[&str] =
    &["/", "/cart", "/login", "/items", "/search", "/orders", "/health", "/v1/users", "/img/logo"];
const TABLES: &[&str] = &["users", "orders", "items", "events", "stock", "audit_log"];
const FUNCTIONS: &[&str] = &["commit", "render", "resolve", "authorize", "reserve", "dispatch"];
const COLUMNS: &[&str] = &["id", "user_id", "status", "created_at", "total", "sku", "quantity", "currency"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "okhttp/4.12.0",
    "python-requests/2.32",
];
const PACKAGES: &[&str] =
    &["shop.api", "shop.cart", "shop.pay.gateway", "shop.store.jdbc", "shop.jobs", "net.http"];
const CLASSES: &[&str] = &["Handler", "Pool", "Client", "Session", "Worker", "Retry", "Codec"];
const EXCEPTIONS: &[&str] = &[
    "java.net.SocketTimeoutException: Read timed out",
    "java.lang.IllegalStateException: no order",
    "java.sql.SQLTransientException: too many connections",
    "java.util.concurrent.TimeoutException",
    "java.lang.NullPointerException: cannot read field \"total\"",
];
/// Longest stack trace, in bytes of JSON: with its event about 2.5 KB.
const LONGEST_TRACE: usize = 2_300;

/// Fills every `{name}` of a template. Some results hold quotes, tabs and newlines.
pub(super) fn fill(template: &str, rng: &mut impl Rng) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, from)) = rest.split_once('{') {
        let (name, after) = from.split_once('}').expect("a template closes its braces");
        text.push_str(before);
        value(name, &mut text, rng);
        rest = after;
    }
    text.push_str(rest);
    text
}

fn value(name: &str, text: &mut String, rng: &mut impl Rng) {
    let written = match name {
        "agent" => write!(text, "{}", one(AGENTS, rng)),
        "amount" => write!(text, "{}.{:02}", magnitude(9, rng), rng.random_range(0..100_u32)),
        "function" => write!(text, "{}", one(FUNCTIONS, rng)),
        "hex" => write!(text, "{:06x}", rng.random_range(0..1_u32 << 24)),
        "host" => write!(text, "{}-{}", one(&["db", "mx", "gw", "cache"], rng), rng.random_range(1..=12_u32)),
        "ip" => write!(
            text,
            "10.{}.{}.{}",
            rng.random_range(0..4_u32),
            rng.random_range(0..256_u32),
            rng.random_range(1..255_u32)
        ),
        "ms" => write!(text, "{}", magnitude(9, rng)),
        "n" => write!(text, "{}", magnitude(7, rng)),
        "order" => write!(text, "{}", rng.random_range(10_000..1_000_000_u32)),
        "path" => write!(text, "{}", one(PATHS, rng)),
        "query" => query(text, rng),
        "sku" => write!(text, "K{:04}", rng.random_range(0..10_000_u32)),
        "slow" => write!(text, "{}", 500 + magnitude(14, rng)),
        "sql" => sql(text, rng),
        "table" => write!(text, "{}", one(TABLES, rng)),
        "trace" => trace(text, rng),
        "user" => write!(text, "{}", magnitude(17, rng)),
        _ => unreachable!("a test fills every template"),
    };
    written.expect("a string takes everything");
}

fn one<'a>(of: &[&'a str], rng: &mut impl Rng) -> &'a str {
    of[rng.random_range(0..of.len())]
}

/// From 1 to 2^`bits`, each power of two as likely as the next: as durations and counts are, with a long tail.
fn magnitude(bits: u32, rng: &mut impl Rng) -> u32 {
    let top = 1_u32 << rng.random_range(0..bits);
    rng.random_range(top..top * 2)
}

fn query(text: &mut String, rng: &mut impl Rng) -> std::fmt::Result {
    for i in 0..rng.random_range(2..6) {
        let separator = if i == 0 { "" } else { "&" };
        write!(text, "{separator}{}={:x}", one(COLUMNS, rng), rng.random::<u32>())?;
    }
    Ok(())
}

fn sql(text: &mut String, rng: &mut impl Rng) -> std::fmt::Result {
    write!(text, "SELECT {}", one(COLUMNS, rng))?;
    for _ in 0..rng.random_range(2..8) {
        write!(text, ", {}", one(COLUMNS, rng))?;
    }
    write!(text, " FROM {} WHERE {} = '{:x}'", one(TABLES, rng), one(COLUMNS, rng), rng.random::<u64>())?;
    for _ in 0..rng.random_range(0..4) {
        write!(text, " AND {} > {}", one(COLUMNS, rng), magnitude(20, rng))?;
    }
    write!(text, " ORDER BY {} LIMIT {}", one(COLUMNS, rng), magnitude(9, rng))
}

/// One frame most times, and now and then dozens.
fn trace(text: &mut String, rng: &mut impl Rng) -> std::fmt::Result {
    write!(text, "{}", one(EXCEPTIONS, rng))?;
    for _ in 0..magnitude(6, rng) {
        let mut frame = String::new();
        let (package, class, function) = (one(PACKAGES, rng), one(CLASSES, rng), one(FUNCTIONS, rng));
        write!(frame, "\n\tat {package}.{class}.{function}({class}.java:{})", magnitude(9, rng))?;
        if text.len() + frame.len() + 2 > LONGEST_TRACE {
            break;
        }
        text.push_str(&frame);
    }
    Ok(())
}
