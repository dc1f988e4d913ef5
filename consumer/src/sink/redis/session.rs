//! One connection to Redis that owns some partitions' positions.
//!
//! Exactly once, as readers see it, rests on a compare-and-set of each partition's position, which is the text
//! `next-offset owner topic-id` (`-` for a topic without identity):
//!
//! ```text
//! WATCH p…  MGET p…            ← sent behind the EXEC before, so it costs no round trip
//! MULTI  LPUSH … SET p …  EXEC ← does nothing if a watched position changed in between
//! ```
//!
//! What changed before the `MGET` shows in its answer, what changes later fails the `EXEC`. So a repeated batch,
//! a consumer that was superseded, a Redis that went back in time or lost its data: each changes nothing and is
//! seen, and the caller starts over with [`Session::claim`].

use super::request::{Keys, Moved, Request, Tail, command};
use super::servers::{ConnectError, Servers};
use crate::counts::ServiceNames;
use crate::sink::file::checkpoint::{Place, Position, same_topic};
use rdkafka::error::KafkaError;
use redis::{Connection, RedisError, Value};
use std::collections::BTreeMap;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Redis can't be reached, or says no.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A position is not what this session left there.
    #[error(
        "the position of partition {partition} is '{found}', not ours: another consumer took it over, or Redis lost data"
    )]
    Superseded {
        /// The partition.
        partition: i32,
        /// What stands there.
        found: String,
    },
    /// A watched position changed while a batch was sent.
    #[error("a position changed while a batch was sent")]
    Conflict,
    /// A batch does not start where Redis is.
    #[error("partition {partition} is at {held} in Redis, the batch starts at {from}")]
    Gap {
        /// The partition.
        partition: i32,
        /// Where Redis is.
        held: i64,
        /// Where the batch starts.
        from: i64,
    },
    /// Redis is at another topic of that name, and so is Kafka: ours is gone.
    #[error("partition {0} is of a topic that was made anew, which is not known here yet")]
    Outdated(i32),
    /// Kafka does not say what the topic is by now.
    #[error("asking Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A reply that the protocol doesn't allow here.
    #[error("Redis answered {0}")]
    Unexpected(String),
}

/// A partition to be claimed, as the file side knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The partition.
    pub partition: i32,
    /// Where reading started when it was assigned.
    pub start: Place,
    /// Where it ended then.
    pub ended: i64,
    /// As far as the partition is known to go; a position beyond that is none of ours.
    pub end: i64,
    /// What is durable in the file.
    pub durable: Option<Position>,
}

/// What Kafka says at the moment.
pub trait Asked {
    /// Where a partition ends.
    ///
    /// # Errors
    /// When no broker answers.
    fn end(&self, partition: i32) -> Result<i64, KafkaError>;

    /// The topic's identity.
    ///
    /// # Errors
    /// When no broker answers.
    fn topic_id(&self) -> Result<Option<String>, KafkaError>;
}

/// What a claim found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The partition.
    pub partition: i32,
    /// Redis has everything below.
    pub next: i64,
    /// True when Redis knew nothing of the partition: its lists want filling from before `next`.
    pub fresh: bool,
}

/// A connection and what it owns.
pub struct Session {
    connection: Connection,
    address: String,
    keys: Keys,
    names: ServiceNames,
    owner: String,
    held: BTreeMap<i32, i64>,
    /// By partition the identity of its topic.
    topic_ids: BTreeMap<i32, Option<String>>,
    /// By partition what stands behind its position: who holds it, and of which topic.
    marks: BTreeMap<i32, String>,
    /// `WATCH` and `MGET` of all that is held, packed.
    watch: Vec<u8>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// When no Redis can be reached that takes our writes.
    pub fn connect(
        servers: &Servers,
        keys: Keys,
        names: ServiceNames,
        owner: String,
    ) -> Result<Session, ConnectError> {
        let (mut connection, address) = servers.connect(&keys)?;
        warn_of_eviction(&mut connection);
        Ok(Session {
            connection,
            address,
            keys,
            names,
            owner,
            held: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            marks: BTreeMap::new(),
            watch: Vec::new(),
        })
    }

    /// The server it is connected to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Positions that this session owns.
    pub fn held(&self) -> &BTreeMap<i32, i64> {
        &self.held
    }

    /// Identity of the topic that the position of a partition is one of.
    pub fn topic_id(&self, partition: i32) -> Option<&str> {
        self.topic_ids.get(&partition)?.as_deref()
    }

    /// Makes the partitions ours, and only those. A position beyond what we know of a partition may be another
    /// owner's, who knew more, or of a topic of the same name that is gone: Kafka is asked. Where Redis knows nothing of
    /// a partition its counters are set up from the file's, in the same transaction as the position.
    ///
    /// # Errors
    /// [`SessionError`]; `Conflict` when somebody else claims at the same time.
    pub fn claim(&mut self, claims: &[Claim], asked: &impl Asked) -> Result<Vec<Claimed>, SessionError> {
        self.held = claims.iter().map(|claim| (claim.partition, claim.start.offset)).collect();
        self.topic_ids = claims.iter().map(|claim| (claim.partition, claim.start.topic_id.clone())).collect();
        let mark =
            |topic_id: &Option<String>| format!("{} {}", self.owner, topic_id.as_deref().unwrap_or("-"));
        self.marks =
            self.topic_ids.iter().map(|(&partition, topic_id)| (partition, mark(topic_id))).collect();
        self.watch.clear();
        let names: Vec<String> = self.held.keys().map(|&partition| self.keys.position(partition)).collect();
        for verb in [b"WATCH".as_slice(), b"MGET"] {
            let parts: Vec<&[u8]> = std::iter::once(verb).chain(names.iter().map(|n| n.as_bytes())).collect();
            command(&mut self.watch, &parts);
        }
        self.connection.send_packed_command(&self.watch)?;
        let found = self.read_positions()?;

        let mut tail = Tail::default();
        tail.command(&[b"MULTI"]);
        let mut claimed = Vec::with_capacity(claims.len());
        for claim in claims {
            let found = found[&claim.partition].as_deref().and_then(parse_position);
            let result = claimed_at(claim, found, asked)?;
            if let Some(position) =
                claim.durable.as_ref().filter(|position| result.fresh && position.next == result.next)
            {
                tail.add_totals(&self.keys, &self.names, &position.totals(&self.names));
            }
            tail.set_position(&self.keys, claim.partition, result.next, &self.marks[&claim.partition]);
            self.held.insert(claim.partition, result.next);
            claimed.push(result);
        }
        tail.command(&[b"EXEC"]);
        tail.bytes.extend_from_slice(&self.watch);
        self.connection.send_packed_command(&tail.bytes)?;
        self.read_transaction(tail.commands)?;
        Ok(claimed)
    }

    /// Applies one batch.
    ///
    /// # Errors
    /// [`SessionError`]: then Redis holds all of the batch or nothing of it; a new claim tells which.
    pub fn apply(&mut self, request: &mut Request) -> Result<(), SessionError> {
        for &Moved { partition, from, .. } in request.positions() {
            match self.held.get(&partition) {
                Some(&held) if held == from => {}
                held => {
                    return Err(SessionError::Gap { partition, held: held.copied().unwrap_or(-1), from });
                }
            }
        }
        let commands = {
            let (bytes, commands) = request.pack(&self.keys, &self.names, &self.marks, &self.watch);
            self.connection.send_packed_command(bytes)?;
            commands
        };
        for &Moved { partition, next, .. } in request.positions() {
            self.held.insert(partition, next);
        }
        self.read_transaction(commands)
    }

    /// Reads the replies to a transaction and to the `WATCH` and `MGET` behind it.
    fn read_transaction(&mut self, commands: usize) -> Result<(), SessionError> {
        for _ in 1..commands {
            self.connection.recv_response()?.extract_error()?;
        }
        match self.connection.recv_response()?.extract_error()? {
            Value::Nil => return Err(SessionError::Conflict),
            Value::Array(_) => {}
            other => return Err(SessionError::Unexpected(format!("{other:?} to EXEC"))),
        }
        self.check_positions()
    }

    /// Sees whether what this session left in Redis is still there.
    ///
    /// # Errors
    /// [`SessionError`], as for a batch.
    pub fn check(&mut self) -> Result<(), SessionError> {
        self.connection.send_packed_command(&self.watch)?;
        self.check_positions()
    }

    fn check_positions(&mut self) -> Result<(), SessionError> {
        let found = self.read_positions()?;
        for (&partition, &next) in &self.held {
            let found = found[&partition].as_deref().unwrap_or("(nothing)");
            if found != format!("{next} {}", self.marks[&partition]) {
                return Err(SessionError::Superseded { partition, found: found.to_owned() });
            }
        }
        Ok(())
    }

    fn read_positions(&mut self) -> Result<BTreeMap<i32, Option<String>>, SessionError> {
        self.connection.recv_response()?.extract_error()?;
        let reply = self.connection.recv_response()?.extract_error()?;
        let texts: Vec<Option<String>> =
            redis::from_redis_value(reply).map_err(|error| SessionError::Unexpected(error.to_string()))?;
        if texts.len() != self.held.len() {
            return Err(SessionError::Unexpected(format!("{} positions", texts.len())));
        }
        Ok(self.held.keys().copied().zip(texts).collect())
    }
}

/// Says so when Redis may drop any key for want of memory: a position that goes alone would have its events
/// counted twice.
fn warn_of_eviction(connection: &mut Connection) {
    // Who may not ask is not told.
    let info: String = redis::cmd("INFO").arg("memory").query(connection).unwrap_or_default();
    let value = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    if let Some(policy) = value("maxmemory_policy").filter(|policy| policy.starts_with("allkeys-"))
        && value("maxmemory") != Some("0")
    {
        tracing::warn!(
            policy,
            "Redis may evict any key, then its counters are no longer exact: set maxmemory-policy to noeviction"
        );
    }
}

/// Where Redis is, by the position that was found there.
fn claimed_at(
    claim: &Claim,
    found: Option<(i64, Option<&str>)>,
    asked: &impl Asked,
) -> Result<Claimed, SessionError> {
    let &Claim { partition, ref start, ended, end, ref durable } = claim;
    let end = end.max(start.offset);
    let Some((position, topic_id)) = found else {
        let durable = durable.as_ref().map(|position| position.next).filter(|&next| next <= end);
        return Ok(Claimed { partition, next: durable.unwrap_or(start.offset), fresh: true });
    };
    let same = same_topic(start.topic_id.as_deref(), topic_id);
    if same && (position <= end || position <= asked.end(partition)?) {
        return Ok(Claimed { partition, next: position, fresh: false });
    }
    // Of two identities the newer one counts, which may be that of another owner.
    if !same && !same_topic(start.topic_id.as_deref(), asked.topic_id()?.as_deref()) {
        return Err(SessionError::Outdated(partition));
    }
    let next = match (same, start.topic_id.as_deref().zip(topic_id)) {
        // A broker lost the end of this very topic: Redis had all that was left.
        (true, Some(_)) => ended,
        (true, None) => start.offset,
        // Nothing of the new topic is in Redis, whatever the file had of it when the partition was assigned.
        (false, _) => 0,
    };
    tracing::warn!(
        partition,
        position,
        end,
        next,
        "Redis is beyond the partition's end, or knew another topic"
    );
    Ok(Claimed { partition, next, fresh: false })
}

/// The offset, and the topic's identity if there is one.
fn parse_position(text: &str) -> Option<(i64, Option<&str>)> {
    let mut words = text.split(' ');
    let next = words.next()?.parse().ok().filter(|&next: &i64| next >= 0)?;
    Some((next, words.nth(1).filter(|&topic_id| topic_id != "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Kafka whose partitions end at 900, with a topic that was made anew.
    struct Now;

    impl Asked for Now {
        fn end(&self, _: i32) -> Result<i64, KafkaError> {
            Ok(900)
        }

        fn topic_id(&self) -> Result<Option<String>, KafkaError> {
            Ok(Some("new".to_owned()))
        }
    }

    fn claimed(topic_id: &str, found: Option<(i64, Option<&str>)>) -> Result<(i64, bool), String> {
        let start = Place { offset: 500, topic_id: Some(topic_id.to_owned()) };
        let durable = Some(Position { next: 600, ..Position::default() });
        let claim = Claim { partition: 3, start, ended: 550, end: 700, durable };
        let claimed = claimed_at(&claim, found, &Now).map_err(|error| error.to_string())?;
        Ok((claimed.next, claimed.fresh))
    }

    #[test]
    fn redis_is_where_it_says_unless_that_is_of_a_topic_before() {
        assert_eq!(claimed("new", None), Ok((600, true)), "where the file is");
        assert_eq!(claimed("new", Some((650, Some("new")))), Ok((650, false)));
        assert_eq!(claimed("new", Some((650, None))), Ok((650, false)), "brokers without identities");
        assert_eq!(claimed("new", Some((900, Some("new")))), Ok((900, false)), "another owner knew more");
        assert_eq!(claimed("new", Some((901, Some("new")))), Ok((550, false)), "a broker lost its end");
        assert_eq!(claimed("new", Some((901, None))), Ok((500, false)), "beyond the end, perhaps of another");
        assert_eq!(claimed("new", Some((650, Some("old")))), Ok((0, false)), "of the topic before");
    }

    /// Whoever was frozen while the topic was made anew must not take the new one for the old one: what its next owner
    /// had counted would be counted again.
    #[test]
    fn who_knows_only_a_topic_that_is_gone_claims_nothing() {
        let refused = claimed("old", Some((650, Some("new")))).expect_err("gone");
        assert!(refused.contains("partition 3 is of a topic that was made anew"), "{refused}");
    }
}
