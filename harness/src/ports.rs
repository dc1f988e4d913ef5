//! Free loopback ports for servers.

use anyhow::{Result, bail};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Below Linux's ephemeral ports (32768 and up): while a server is down for a test, no outgoing connection
/// is given its port.
const FIRST: u16 = 20_000;
const LAST: u16 = 29_999;

/// True if a server could listen on `port` of 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A free port that this process was not given before, drawn at random so that test programs running at the
/// same time hardly ever draw the same.
///
/// # Errors
/// When no port from 20000 to 29999 is free.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    let count = LAST - FIRST + 1;
    let start = (RandomState::new().hash_one(()) % u64::from(count)) as u16;
    for step in 0..count {
        let port = FIRST + (start + step) % count;
        if !given.contains(&port) && is_free(port) {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {LAST} is free on 127.0.0.1")
}

/// `preferred` if it is free, else the next that is.
///
/// # Errors
/// When none of the hundred ports from `preferred` on is free.
pub fn free_port_from(preferred: u16) -> Result<u16> {
    match (preferred..preferred.saturating_add(100)).find(|&port| is_free(port)) {
        Some(port) => Ok(port),
        None => bail!("none of the hundred ports from {preferred} on is free on 127.0.0.1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_passed_over() {
        let port = free_port().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
        assert!(free_port_from(port).unwrap() > port);
        assert_ne!(free_port().unwrap(), port);
    }
}
