//! Which Redis is written to: the one that is named, the master that Sentinels name, or the node of a cluster that has
//! our keys.
//!
//! It is found anew for every session, so that nothing here has to watch for fail-overs. (The library's own client of
//! Sentinels waits for a silent one without a deadline.)

use super::request::Keys;
use redis::{
    Connection, ConnectionAddr, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
};
use std::collections::HashMap;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A Redis that says nothing for so long is taken for dead.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// A Sentinel has little to do, and there are others.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);
/// Nodes of a cluster that send us on, one to another, at most.
const MOST_MOVES: usize = 4;

/// Where Redis is.
#[derive(Debug, Clone)]
pub struct Servers {
    /// As `--redis-url` names them, tried in this order.
    pub named: Vec<ConnectionInfo>,
    /// Name of the master, if they are Sentinels.
    pub sentinel: Option<String>,
}

/// Why no session can begin: one line for each server tried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

/// What is wrong with one server.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("{0} (is --redis-url right?)")]
    Fails(#[from] RedisError),
    #[error("is a replica and takes no writes: name its master, or Sentinels and --redis-sentinel")]
    Replica,
    #[error("is a Sentinel: say which master you want by --redis-sentinel")]
    Sentinel,
    #[error("is no Sentinel that answers: {0} (is --redis-url right?)")]
    NoSentinel(RedisError),
    #[error("is a Sentinel and knows no master '{0}' (is --redis-sentinel right?)")]
    UnknownMaster(String),
    #[error("names {0}, which {1}")]
    Names(String, Box<Unfit>),
    #[error(
        "is one of a cluster, where keys must have a hash tag to lie together: say --redis-prefix '{{{0}}}'"
    )]
    NoTag(String),
    #[error("is one of a cluster that does not know who has the keys")]
    Lost,
}

impl Servers {
    /// Connects to the server that takes writes to our keys now.
    ///
    /// # Errors
    /// When none of those named leads to it.
    pub fn connect(&self, keys: &Keys) -> Result<(Connection, String), ConnectError> {
        let mut errors = Vec::new();
        for named in &self.named {
            let reached = match &self.sentinel {
                Some(master) => by_sentinel(named, master),
                None => directly(named, keys),
            };
            match reached {
                Ok((connection, info)) => return Ok((connection, info.addr().to_string())),
                Err(error) => errors.push(format!("{} {error}", named.addr())),
            }
        }
        Err(ConnectError(errors.join("; ")))
    }
}

type Reached = (Connection, ConnectionInfo);

fn directly(named: &ConnectionInfo, keys: &Keys) -> Result<Reached, Unfit> {
    let mut connection = open(named, CONNECT_TIMEOUT, REPLY_TIMEOUT)?;
    match Role::of(&mut connection)? {
        Role::Master => Ok((connection, named.clone())),
        Role::Replica => Err(Unfit::Replica),
        Role::Sentinel => Err(Unfit::Sentinel),
        Role::Node if !has_hash_tag(&keys.prefix) => Err(Unfit::NoTag(keys.prefix.replace(['{', '}'], ""))),
        Role::Node => follow_moves((connection, named.clone()), keys),
    }
}

/// Any node knows who has the slot of our keys: ask for one of them.
fn follow_moves((mut connection, mut info): Reached, keys: &Keys) -> Result<Reached, Unfit> {
    for _ in 0..MOST_MOVES {
        let Err(error) = redis::cmd("MGET").arg(keys.position(0)).exec(&mut connection) else {
            return Ok((connection, info));
        };
        let moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
        let to = error.redirect_node().filter(|_| moved).and_then(|(address, _)| address.rsplit_once(':'));
        let Some((host, Ok(port))) = to.map(|(host, port)| (host, port.parse())) else {
            return Err(error.into());
        };
        info = at(&info, host, port);
        let address = info.addr().to_string();
        connection = open(&info, CONNECT_TIMEOUT, REPLY_TIMEOUT)
            .map_err(|error| Unfit::Names(address, Box::new(error.into())))?;
    }
    Err(Unfit::Lost)
}

fn by_sentinel(sentinel: &ConnectionInfo, master: &str) -> Result<Reached, Unfit> {
    let (host, port) = ask_sentinel(sentinel, master)?;
    let info = at(sentinel, &host, port);
    let reach = || {
        let mut connection = open(&info, CONNECT_TIMEOUT, REPLY_TIMEOUT)?;
        // In the middle of a fail-over a Sentinel may name one that is no master any more, or not yet.
        match Role::of(&mut connection)? {
            Role::Replica => Err(Unfit::Replica),
            Role::Master | Role::Sentinel | Role::Node => Ok(connection),
        }
    };
    let connection = reach().map_err(|error| Unfit::Names(info.addr().to_string(), Box::new(error)))?;
    Ok((connection, info))
}

/// The address of the master. Sentinels seldom want a login; one that does is given the master's.
fn ask_sentinel(sentinel: &ConnectionInfo, master: &str) -> Result<(String, u16), Unfit> {
    let ask = |login: RedisConnectionInfo| -> RedisResult<Option<(String, u16)>> {
        let info = sentinel.clone().set_redis_settings(login);
        let mut connection = open(&info, SENTINEL_TIMEOUT, SENTINEL_TIMEOUT)?;
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query(&mut connection)
    };
    let answer = match ask(RedisConnectionInfo::default()) {
        Err(error) if error.code() == Some("NOAUTH") => ask(sentinel.redis_settings().clone().set_db(0)),
        answer => answer,
    };
    answer.map_err(Unfit::NoSentinel)?.ok_or_else(|| Unfit::UnknownMaster(master.to_owned()))
}

/// With deadlines on every exchange.
fn open(info: &ConnectionInfo, connect: Duration, reply: Duration) -> RedisResult<Connection> {
    let connection = redis::Client::open(info.clone())?.get_connection_with_timeout(connect)?;
    connection.set_read_timeout(Some(reply))?;
    connection.set_write_timeout(Some(reply))?;
    Ok(connection)
}

/// The same login and TLS at another address; no host means the same.
fn at(info: &ConnectionInfo, to: &str, at: u16) -> ConnectionInfo {
    let mut addr = info.addr().clone();
    match &mut addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            *port = at;
            if !matches!(to, "" | "?") {
                *host = to.trim_matches(['[', ']']).to_owned();
            }
        }
        _ => addr = ConnectionAddr::Tcp(to.to_owned(), at),
    }
    info.clone().set_addr(addr)
}

/// What a server says that it is.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Master,
    Replica,
    Sentinel,
    /// Master or replica in a cluster.
    Node,
}

impl Role {
    /// By `HELLO`, which no ACL forbids. A server that does not know it is taken for a master: it will tell.
    fn of(connection: &mut Connection) -> RedisResult<Role> {
        let answer: RedisResult<HashMap<String, Value>> = redis::cmd("HELLO").query(connection);
        let hello = match answer {
            Ok(hello) => hello,
            Err(error) if error.is_io_error() => return Err(error),
            Err(_) => return Ok(Role::Master),
        };
        let is = |key: &str, value: &str| matches!(hello.get(key), Some(Value::BulkString(text)) if text == value.as_bytes());
        Ok(match () {
            () if is("mode", "sentinel") => Role::Sentinel,
            () if is("mode", "cluster") => Role::Node,
            () if is("role", "replica") => Role::Replica,
            () => Role::Master,
        })
    }
}

/// True when a key's slot depends only on a part in braces.
fn has_hash_tag(prefix: &str) -> bool {
    prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::IntoConnectionInfo;

    #[test]
    fn a_hash_tag_is_what_redis_takes_for_one() {
        for tagged in ["{logs}", "eu:{a}:b", "{{a}", "a{b}{c}"] {
            assert!(has_hash_tag(tagged), "{tagged}");
        }
        for other in ["logs", "{}", "{}{a}", "}a{", "{a", "a}"] {
            assert!(!has_hash_tag(other), "{other}");
        }
    }

    #[test]
    fn another_address_has_the_same_login_and_tls() {
        let info = "rediss://user:secret@one:1/2".into_connection_info().unwrap();
        let other = at(&info, "two", 3);
        assert_eq!(other.addr().to_string(), "two:3");
        assert!(matches!(other.addr(), ConnectionAddr::TcpTls { .. }));
        assert_eq!((other.redis_settings().db(), other.redis_settings().password()), (2, Some("secret")));
        assert_eq!(at(&info, "", 3).addr().to_string(), "one:3");
    }
}
