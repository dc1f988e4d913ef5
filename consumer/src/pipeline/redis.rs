//! What a worker has to do with Redis: feeds it while it is attached, waits for it a little, and goes on without it when
//! it is behind.

use super::Pipeline;
use crate::sink::redis::Told;
use crate::sink::redis::feed::RedisFeed;
use crate::sink::redis::session::Claim;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// A Redis that stays away is mentioned again so often.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How long new partitions wait for Redis to say where it is, before the file goes on without it.
const CLAIM_TIME: Duration = Duration::from_millis(500);

impl Pipeline {
    pub(super) fn reassign_redis(&mut self) {
        let Some(redis) = &mut self.redis else { return };
        let claims = self.partitions.iter().map(|(&id, partition)| Claim {
            partition: id,
            start: partition.start.clone(),
            ended: partition.end,
            end: partition.end.max(partition.next),
            durable: None,
        });
        redis.set_front(self.partitions.iter().map(|(&id, partition)| (id, partition.next)));
        redis.reassign(claims.collect());
        self.note_redis(false);
    }

    /// Gives Redis a moment to say where it is: if it answers, it is fed from the first event on and need not
    /// catch up.
    pub(super) fn await_redis(&mut self) {
        let deadline = Instant::now() + CLAIM_TIME;
        while let Some(redis) = self.redis.as_ref().filter(|redis| !redis.attached()) {
            let Ok(told) = redis.told().recv_deadline(deadline) else {
                return;
            };
            let lost = matches!(told, Told::Lost(_));
            self.heard(told);
            if lost {
                return;
            }
        }
    }

    /// Completes the batch for Redis and sends it off.
    pub(super) fn feed_redis(&mut self) {
        let Some(redis) = &mut self.redis else { return };
        redis.set_front(self.partitions.iter().map(|(&id, partition)| (id, partition.next)));
        if let Some((request, _)) = redis.batch() {
            for (&id, partition) in &mut self.partitions {
                if partition.next > partition.redis_next {
                    request.moved(id, partition.redis_next, partition.next);
                    partition.redis_next = partition.next;
                }
            }
            redis.submit();
            if !redis.attached() {
                self.note_redis(false);
            }
        }
    }

    /// Takes in what Redis has done, and lets it hold us up a little if it is behind.
    pub(super) fn wait_for_redis(&mut self) {
        while let Some(told) = self.redis.as_ref().and_then(|redis| redis.told().try_recv().ok()) {
            self.heard(told);
        }
        while let Some(wait) = self.redis.as_mut().and_then(RedisFeed::must_wait) {
            let started = Instant::now();
            let told = self.redis.as_ref().and_then(|redis| redis.told().recv_timeout(wait).ok());
            if let Some(redis) = &mut self.redis {
                redis.waited(started);
            }
            match told {
                Some(told) => self.heard(told),
                None => self.detach_redis("it is too slow"),
            }
        }
    }

    pub(super) fn heard(&mut self, told: Told) {
        let Some(redis) = &mut self.redis else { return };
        match told {
            Told::Wants(number, held) if redis.is_current(number) => {
                let mut from = BTreeMap::new();
                for (&id, partition) in &mut self.partitions {
                    partition.redis_next = held.get(&id).copied().unwrap_or(0).max(partition.next);
                    from.insert(id, partition.redis_next);
                }
                redis.attach(from);
                self.note_redis(true);
                info!("Redis is attached");
            }
            Told::Wants(..) => {}
            Told::Back(request) => redis.recycle(request),
            Told::Holds(positions) => {
                for (partition, next) in positions {
                    self.ledger.redis_holds(partition, next);
                }
            }
            Told::Lost(why) => self.detach_redis(&why),
        }
    }

    pub(super) fn detach_redis(&mut self, why: &str) {
        if let Some(redis) = &mut self.redis {
            let news = redis.attached()
                || self
                    .redis_trouble
                    .as_ref()
                    .is_none_or(|(last, at)| last != why || at.elapsed() >= SAY_AGAIN_AFTER);
            redis.detach();
            self.note_redis(false);
            if news {
                self.redis_trouble = Some((why.to_owned(), Instant::now()));
                warn!(why, "Redis is detached: the file goes on, Redis is caught up from Kafka later");
            }
        }
    }

    /// Whether Redis keeps up decides what may be committed, and is shown.
    fn note_redis(&mut self, attached: bool) {
        self.ledger.set_redis_attached(attached);
        self.vitals.set_redis_attached(attached);
    }

    /// True while Redis is attached and has not applied all that it was fed.
    pub(super) fn redis_is_behind(&self, ids: &[i32]) -> bool {
        let attached = self.redis.as_ref().is_some_and(|redis| redis.attached());
        attached
            && ids.iter().any(|id| self.ledger.redis(*id) < self.partitions.get(id).map(|p| p.redis_next))
    }
}
