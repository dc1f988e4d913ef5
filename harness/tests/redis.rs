//! Redis with Sentinels and as a cluster: a master may die or freeze, and another takes over with the data.

use harness::{REDIS_TAG, RedisLayout, Stack, StackOptions};
use redis::Commands;

#[test]
fn sentinels_replace_a_master_that_dies_or_freezes() {
    let stack =
        Stack::start(StackOptions { redis: RedisLayout::Sentinels, ..StackOptions::default() }).unwrap();
    assert_eq!(stack.pids().len(), 7);
    assert_eq!(stack.redis_url().split(',').count(), 3);
    let first = stack.redis_master().unwrap();
    assert_eq!(first, stack.redis_port());
    stack.redis().unwrap().set::<_, _, ()>("kept", 1).unwrap();
    redis::cmd("WAIT").arg(1).arg(0).exec(&mut stack.redis().unwrap()).unwrap();

    // Killed: the replica takes over, though one Sentinel is dead, too. Started again it follows.
    stack.kill_sentinel(0).unwrap();
    assert_eq!(stack.kill_redis().unwrap(), first);
    let second = stack.await_failover(first).unwrap();
    assert_eq!(stack.redis_others().unwrap(), [first]);
    assert_eq!(stack.redis().unwrap().get::<_, Option<i32>>("kept").unwrap(), Some(1));
    stack.start_sentinels().unwrap();
    stack.start_redis(true).unwrap();
    assert!(stack.start_redis(true).is_err(), "all run already");
    stack.await_replica().unwrap();
    let refused = stack.redis_at(first).unwrap().set::<_, _, ()>("kept", 2).unwrap_err();
    assert_eq!(refused.code(), Some("READONLY"));

    // Frozen: the same, and back in time it follows.
    assert_eq!(stack.freeze_redis().unwrap(), second);
    assert_eq!(stack.await_failover(second).unwrap(), first);
    stack.resume_redis().unwrap();
    stack.await_replica().unwrap();
    assert_eq!(stack.redis_master().unwrap(), first);
}

#[test]
fn a_cluster_loses_a_master_and_goes_on() {
    let stack =
        Stack::start(StackOptions { redis: RedisLayout::Cluster, ..StackOptions::default() }).unwrap();
    assert_eq!(stack.pids().len(), 8);
    let key = format!("{REDIS_TAG}:kept");
    stack.redis().unwrap().set::<_, _, ()>(&key, 1).unwrap();
    redis::cmd("WAIT").arg(1).arg(0).exec(&mut stack.redis().unwrap()).unwrap();
    let dead = stack.kill_redis().unwrap();
    stack.await_failover(dead).unwrap();
    assert_eq!(stack.redis().unwrap().get::<_, Option<i32>>(&key).unwrap(), Some(1));
    stack.start_redis(true).unwrap();
    stack.await_replica().unwrap();
}
