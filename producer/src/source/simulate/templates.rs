//! What the simulated services log.
//!
//! Terse on purpose: the other fields of an event take about 145 bytes, and the whole is to be about 165 on
//! average, with a tail of slow queries and stack traces. Within a family and level the first template is the
//! most frequent one (Zipf), as in real logs, where ten templates make up most lines. `{name}` is filled in by
//! [`fill`](super::fill).

use common::level::Level::{self, Debug, Error, Fatal, Info, Trace, Warn};
use rand::{Rng, RngExt};

/// What one service logs.
#[derive(Debug)]
pub(super) struct Family {
    /// The service's name.
    pub(super) name: &'static str,
    templates: &'static [(Level, &'static str)],
}

/// Least common multiple of 1 to 12: weights by rank without rounding, the same on every machine.
const ZIPF: u32 = 27_720;

impl Family {
    /// Draws a template of this level; its rank decides how often.
    pub(super) fn template(&self, level: Level, rng: &mut impl Rng) -> &'static str {
        let of_level = |templates: &'static [(Level, &'static str)]| {
            templates
                .iter()
                .filter(move |&&(other, _)| other == level)
                .zip(1_u32..)
                .map(|(&(_, text), rank)| (text, ZIPF / rank))
        };
        let own: u32 = of_level(self.templates).map(|(_, weight)| weight).sum();
        let templates = if own > 0 { self.templates } else { COMMON };
        let total: u32 = of_level(templates).map(|(_, weight)| weight).sum();
        let mut drawn = rng.random_range(0..total);
        for (text, weight) in of_level(templates) {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return text,
            }
        }
        unreachable!("what is drawn is below the sum of the weights")
    }
}

/// For levels that a family has nothing of its own for.
const COMMON: &[(Level, &str)] = &[
    (Trace, "enter {function}"),
    (Trace, "leave {function} {ms}ms"),
    (Trace, "read {n} bytes"),
    (Trace, "lock {hex} held {ms}ms"),
    (Fatal, "out of memory: {n} MiB"),
    (Fatal, "disk full: {table}"),
    (Fatal, "cannot bind 0.0.0.0:80{n}"),
    (Fatal, "{trace}"),
];

/// The services that are simulated if none are named.
pub(super) const FAMILIES: [Family; 8] = [
    Family {
        name: "api",
        templates: &[
            (Info, "GET {path} 200 {ms}ms"),
            (Info, "GET {path} 304 {ms}ms"),
            (Info, "POST {path} 201 {ms}ms"),
            (Info, "PUT {path} 204 {ms}ms"),
            (Info, "GET {path} 404 {ms}ms"),
            (Info, "{ip} connected"),
            (Info, "GET {path}?{query} 200 {ms}ms ua=\"{agent}\""),
            (Debug, "route {path}"),
            (Debug, "cache hit {hex}"),
            (Debug, "cache miss {hex}"),
            (Warn, "429 {ip}"),
            (Warn, "slow {path} {slow}ms"),
            (Warn, "GET {path}?{query} took {slow}ms ua=\"{agent}\""),
            (Error, "502 {path} {slow}ms"),
            (Error, "timeout {host}"),
            (Error, "{trace}"),
        ],
    },
    Family {
        name: "auth",
        templates: &[
            (Info, "login ok user={user}"),
            (Info, "token ok {hex}"),
            (Info, "logout user={user}"),
            (Info, "refresh user={user}"),
            (Info, "key rotated {hex}"),
            (Debug, "session {hex}"),
            (Debug, "claims n={n}"),
            (Warn, "bad password user={user}"),
            (Warn, "token expired {hex}"),
            (Warn, "{n} tries from {ip}"),
            (Error, "ldap down {host}"),
            (Error, "{trace}"),
        ],
    },
    Family {
        name: "cart",
        templates: &[
            (Info, "add {sku} n={n}"),
            (Info, "cart {hex} n={n}"),
            (Info, "drop {sku}"),
            (Info, "checkout {order}"),
            (Info, "merged {n} carts"),
            (Debug, "price {sku} {amount}"),
            (Debug, "ttl {hex} {n}s"),
            (Warn, "sold out {sku}"),
            (Warn, "stale {hex}"),
            (Error, "no price for {sku}"),
            (Error, "{trace}"),
        ],
    },
    Family {
        name: "pay",
        templates: &[
            (Info, "paid order={order}"),
            (Info, "authorized {amount} EUR"),
            (Info, "captured {hex}"),
            (Info, "refund {order} {amount}"),
            (Debug, "gateway {ms}ms"),
            (Debug, "retry {n} {hex}"),
            (Warn, "declined {order}"),
            (Warn, "3ds slow {slow}ms"),
            (Error, "charge failed {order}"),
            (Error, "gateway 503 {host}"),
            (Error, "{trace}"),
        ],
    },
    Family {
        name: "stock",
        templates: &[
            (Info, "{sku} left={n}"),
            (Info, "reserved {sku} n={n}"),
            (Info, "released {sku}"),
            (Info, "counted {n} bins"),
            (Debug, "bin {hex}"),
            (Debug, "sync {n} {ms}ms"),
            (Warn, "low {sku} left={n}"),
            (Warn, "sync late {slow}ms"),
            (Error, "negative {sku}"),
            (Error, "{trace}"),
        ],
    },
    Family {
        name: "db",
        templates: &[
            (Info, "{ms}ms rows={n}"),
            (Info, "commit {hex}"),
            (Info, "connect {ip}"),
            (Info, "checkpoint {ms}ms"),
            (Info, "vacuum {table}"),
            (Debug, "plan {hex} cost={n}"),
            (Debug, "buffer {table} {n}"),
            (Warn, "deadlock {table}"),
            (Warn, "slow query {slow}ms: {sql}"),
            (Warn, "pool full n={n}"),
            (Error, "duplicate key in {table}"),
            (Error, "query failed after {slow}ms: {sql}"),
        ],
    },
    Family {
        name: "jobs",
        templates: &[
            (Info, "job {order} ok {ms}ms"),
            (Info, "start {order}"),
            (Info, "queue n={n}"),
            (Info, "cron {table} {ms}ms"),
            (Debug, "lease {hex}"),
            (Debug, "idle {ms}ms"),
            (Warn, "job {order} late {slow}ms"),
            (Warn, "retry {n} of {order}"),
            (Error, "job {order} failed"),
            (Error, "{trace}"),
        ],
    },
    Family {
        name: "mail",
        templates: &[
            (Info, "sent {hex} {ms}ms"),
            (Info, "queued n={n}"),
            (Info, "opened {hex}"),
            (Debug, "mx {host}"),
            (Debug, "dkim {ms}ms"),
            (Warn, "greylisted {host}"),
            (Warn, "bounce user={user}"),
            (Error, "smtp 554 {host}"),
            (Error, "{trace}"),
        ],
    },
];

/// How often each of [`FAMILIES`] logs if nothing else is said.
pub const DEFAULT_SERVICES: &str = "api=30,auth=18,cart=14,pay=10,stock=9,db=8,jobs=7,mail=4";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_templates_and_every_level_has_some() {
        let own: usize = FAMILIES.iter().map(|family| family.templates.len()).sum();
        assert!(own + COMMON.len() >= 60, "{own}");
        for level in Level::ALL {
            for family in &FAMILIES {
                let has = |templates: &[(Level, &str)]| templates.iter().any(|&(other, _)| other == level);
                assert!(has(family.templates) || has(COMMON), "{level} {}", family.name);
                let ranks = family.templates.iter().filter(|&&(other, _)| other == level).count();
                assert!(ranks <= 12, "a rank above 12 has no exact weight");
            }
        }
    }

    #[test]
    fn the_default_services_are_those_of_the_families() {
        let named: Vec<&str> =
            DEFAULT_SERVICES.split(',').filter_map(|part| part.split('=').next()).collect();
        assert_eq!(named, FAMILIES.map(|family| family.name));
    }
}
