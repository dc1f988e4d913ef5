use super::*;
use crate::group::Committed;

fn committed(offset: i64, known: bool) -> Option<Committed> {
    Some(Committed { offset, known, file: None })
}

fn offsets() -> PartitionOffsets {
    PartitionOffsets { topic_id: Some("one".to_owned()), committed: committed(50, false), low: 10, high: 100 }
}

fn at(next: i64) -> Position {
    Position { next, topic_id: Some("one".to_owned()), ..Position::default() }
}

fn start(durable: Option<&Position>, offsets: &PartitionOffsets) -> (i64, u64) {
    let Decision { offset, lost, .. } = start_offset(0, durable, offsets, false);
    (offset, lost)
}

#[test]
fn the_checkpoint_counts() {
    assert_eq!(start(Some(&at(40)), &offsets()), (40, 0));
    assert_eq!(start(Some(&at(60)), &offsets()), (60, 0));
    assert_eq!(start(Some(&at(100)), &offsets()), (100, 0));
    assert_eq!(start(None, &offsets()), (50, 0));
    assert_eq!(start(None, &PartitionOffsets { committed: None, ..offsets() }), (10, 0));
}

#[test]
fn the_group_is_followed_where_it_is_ahead() {
    let follow = |next| start_offset(0, Some(&at(next)), &offsets(), true);
    assert_eq!(follow(40), Decision { offset: 50, lost: 0, checkpointed: false });
    assert_eq!(follow(60), Decision { offset: 60, lost: 0, checkpointed: true });
}

#[test]
fn what_kafka_deleted_is_counted() {
    assert_eq!(start(Some(&at(3)), &offsets()), (10, 7));
}

#[test]
fn a_topic_made_anew_is_read_from_its_beginning() {
    let anew = PartitionOffsets { topic_id: Some("two".to_owned()), committed: None, ..offsets() };
    assert_eq!(start(Some(&at(40)), &anew), (10, 0));
    assert_eq!(start(Some(&at(1_000)), &anew), (10, 0));
    let committed_beyond = PartitionOffsets { committed: committed(1_000, false), ..offsets() };
    assert_eq!(start(None, &committed_beyond), (10, 0));
}

#[test]
fn without_identities_a_shorter_topic_is_taken_for_another() {
    let nameless = PartitionOffsets { topic_id: None, ..offsets() };
    assert_eq!(start(Some(&at(1_000)), &nameless), (10, 0));
    assert_eq!(start(Some(&at(40)), &nameless), (40, 0));
    let old_checkpoint = Position { next: 1_000, ..Position::default() };
    assert_eq!(start(Some(&old_checkpoint), &offsets()), (10, 0));
}

#[test]
fn a_lost_end_is_not_written_again() {
    assert_eq!(start(Some(&at(1_000)), &offsets()), (100, 0));
    let committed_beyond = PartitionOffsets { committed: committed(1_000, true), ..offsets() };
    assert_eq!(start(None, &committed_beyond), (100, 0), "by who has no file of it");
}
