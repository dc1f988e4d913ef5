use super::*;
use harness::Record;

fn payload(seq: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-26T12:0{seq}:00Z","level":"INFO","service":"auth","producer":"p","seq":{seq}}}"#
    )
}

fn record(partition: i32, offset: i64, seq: u64) -> Record {
    Record { partition, offset, payload: Some(payload(seq).into_bytes()), ..Record::default() }
}

fn lines(seqs: &[u64]) -> Vec<u8> {
    seqs.iter().map(|&seq| payload(seq) + "\n").collect::<String>().into_bytes()
}

/// Six events in two partitions, and all where it ought to be.
fn good() -> Evidence {
    let mut history = History::default();
    history.add((1..=4).map(|seq| record(0, seq as i64 - 1, seq)).collect()).unwrap();
    history.add(vec![record(1, 0, 5), record(1, 1, 6)]).unwrap();
    let of_minute = BTreeMap::from([("INFO".to_owned(), 1), ("service:auth".to_owned(), 1)]);
    let kept = Kept {
        name: "single".to_owned(),
        files: vec![lines(&[1, 5, 2]), lines(&[3, 6, 4])],
        levels: BTreeMap::from([("INFO".to_owned(), 6)]),
        services: BTreeMap::from([("auth".to_owned(), 6)]),
        minutes: (1..=6).map(|seq| (format!("2026-11-26T12:0{seq}"), of_minute.clone())).collect(),
        positions: BTreeMap::from([(0, 4), (1, 2)]),
        newest: [6, 4, 3, 2, 5, 1].map(payload).to_vec(),
        skipped: 0,
    };
    let report = Report {
        producer: "p".to_owned(),
        acknowledged: 6,
        first_acknowledged_seq: Some(1),
        last_acknowledged_seq: Some(6),
        unacknowledged: Vec::new(),
    };
    Evidence { history, reports: vec![report], kept: vec![kept] }
}

fn wrong(spoil: impl FnOnce(&mut Evidence)) -> Vec<String> {
    let mut evidence = good();
    spoil(&mut evidence);
    Account::of(&evidence).unwrap().wrong
}

/// Replaces a line of the first file.
fn line(evidence: &mut Evidence, seq: u64, by: &str) {
    let file = &mut evidence.kept[0].files[0];
    *file = String::from_utf8(file.clone()).unwrap().replace(&(payload(seq) + "\n"), by).into_bytes();
}

/// Takes events out of Redis, too, which is what it looks like if they were never read.
fn unread(evidence: &mut Evidence, seqs: &[u64]) {
    for &seq in seqs {
        line(evidence, seq, "");
        let kept = &mut evidence.kept[0];
        kept.newest.retain(|event| *event != payload(seq));
        kept.minutes.remove(&format!("2026-11-26T12:0{seq}"));
        kept.levels.values_mut().chain(kept.services.values_mut()).for_each(|count| *count -= 1);
    }
}

#[test]
fn what_is_right_is_not_complained_of() {
    let account = Account::of(&good()).unwrap();
    assert_eq!((account.events, account.acknowledged, account.wrong), (6, 6, vec![]));
}

#[test]
fn whatever_is_wrong_in_the_files_is_found() {
    let twice = payload(2) + "\n" + &payload(2) + "\n";
    assert_eq!(wrong(|e| line(e, 2, "")), ["files of single: 1 lost"]);
    assert_eq!(wrong(|e| line(e, 2, &twice)), ["files of single: 1 doubled or out of order"]);
    assert_eq!(
        wrong(|e| e.kept[0].files.swap(0, 1)),
        ["files of single: 3 doubled or out of order", "files of single: 3 lost"]
    );
    let changed = payload(2).replace("auth", "auto") + "\n";
    assert_eq!(
        wrong(|e| line(e, 2, &changed)),
        ["files of single: 1 lost", "files of single: 1 lines that no producer wrote"]
    );
    let cut = |e: &mut Evidence| assert!(e.kept[0].files[1].pop().is_some());
    assert_eq!(wrong(cut), ["files of single: 1 lost", "files of single: 1 lines that no producer wrote"]);
    assert_eq!(wrong(|e| e.kept[0].files[1].clear()), ["files of single: 3 lost"]);
}

#[test]
fn whatever_is_wrong_in_redis_is_found() {
    let off_by_one = |counts: &mut BTreeMap<String, u64>| counts.values_mut().for_each(|n| *n += 1);
    assert_eq!(
        wrong(|e| off_by_one(&mut e.kept[0].levels)),
        [r#"single:levels in Redis is {"INFO": 7}, not {"INFO": 6}"#]
    );
    assert_eq!(
        wrong(|e| off_by_one(&mut e.kept[0].services)),
        [r#"single:services in Redis is {"auth": 7}, not {"auth": 6}"#]
    );
    assert_eq!(
        wrong(|e| off_by_one(e.kept[0].minutes.get_mut("2026-11-26T12:03").unwrap())),
        [
            "single:minute:2026-11-26T12:03 INFO in Redis is 2, not 1",
            "single:minute:2026-11-26T12:03 service:auth in Redis is 2, not 1"
        ]
    );
    let lost = |e: &mut Evidence| drop(e.kept[0].minutes.remove("2026-11-26T12:03"));
    assert_eq!(wrong(lost).len(), 2);
    // Emptied, it has no more of what was before.
    let emptied = |e: &mut Evidence| {
        e.history.redis_was_emptied = true;
        lost(e);
    };
    assert_eq!(wrong(emptied), [""; 0]);
    assert_eq!(
        wrong(|e| e.kept[0].positions = BTreeMap::from([(0, 4), (1, 1)])),
        ["position of single 1 in Redis is 1, not 2"]
    );
    let newest = |by: [u64; 6]| wrong(move |e| e.kept[0].newest = by.map(payload).to_vec());
    let complaint = |found: usize, strange: usize| {
        vec![format!(
            "single:recent in Redis has {found} events, {strange} of them strange, doubled or out of order, not 6"
        )]
    };
    assert_eq!(newest([6, 4, 3, 2, 5, 5]), complaint(6, 1));
    assert_eq!(newest([6, 3, 4, 2, 5, 1]), complaint(6, 3));
    assert_eq!(newest([6, 4, 3, 2, 5, 7]), complaint(6, 1));
    assert_eq!(wrong(|e| drop(e.kept[0].newest.pop())), complaint(5, 0));
}

#[test]
fn a_producer_is_believed_only_what_is_in_the_topic() {
    assert_eq!(
        wrong(|e| e.reports[0].last_acknowledged_seq = Some(7)),
        ["1 of p were acknowledged and are not in the topic"]
    );
    let again = |e: &mut Evidence| drop(e.history.add(vec![record(1, 2, 1)]));
    assert!(wrong(again).contains(&"p 1 is in the topic twice".to_owned()));
}

#[test]
fn what_kafka_deleted_unread_must_be_said_and_nothing_else_may_be_missing() {
    let said = |deleted: Vec<i64>, skipped: u64| {
        wrong(move |e| {
            e.history.deleted(deleted);
            e.kept[0].skipped = skipped;
            unread(e, &[1, 2]);
        })
    };
    assert_eq!(said(vec![2, 0], 2), [""; 0]);
    assert_eq!(said(vec![2, 0], 0), ["files of single: Kafka deleted 2 unread, of which 0 were said"]);
    assert_eq!(said(vec![1, 0], 1)[0], "files of single: 1 lost");
    // Deleted and read before: it has to be there like any other.
    assert_eq!(wrong(|e| e.history.deleted(vec![4, 2])), [""; 0]);
}

#[test]
fn topics_of_one_name_are_one_behind_the_other() {
    let anew = |e: &mut Evidence| {
        e.history.end_generation();
        e.history.add(vec![record(0, 0, 7), record(1, 0, 8)]).unwrap();
        e.kept[0].files.push(lines(&[7, 8]));
        e.kept[0].levels.values_mut().for_each(|count| *count += 2);
        e.kept[0].services.values_mut().for_each(|count| *count += 2);
        for seq in [7, 8] {
            let of_minute = e.kept[0].minutes["2026-11-26T12:01"].clone();
            e.kept[0].minutes.insert(format!("2026-11-26T12:0{seq}"), of_minute);
            e.kept[0].newest.insert(0, payload(seq));
        }
        e.kept[0].positions = BTreeMap::from([(0, 1), (1, 1)]);
    };
    assert_eq!(wrong(anew), [""; 0]);
    let mixed = |e: &mut Evidence| {
        anew(e);
        e.kept[0].files.swap(1, 2);
    };
    assert_eq!(wrong(mixed), ["files of single: 3 doubled or out of order", "files of single: 3 lost"]);
}
