use super::*;
use proptest::prelude::*;
use tempfile::TempDir;

fn checkpoint(generation: u64, partitions: i32) -> Checkpoint {
    let mut checkpoint = Checkpoint { generation, length: generation * 100, ..Checkpoint::new("logs") };
    for p in 0..partitions {
        let position = Position {
            topic_id: Some("rWTg1E3tT0yuCbWlUGr9-A".to_owned()),
            next: i64::from(p) + 7,
            levels: BTreeMap::from([(Level::Info, 3)]),
            services: BTreeMap::from([("auth".to_owned(), 3)]),
        };
        checkpoint.partitions.insert(p, position);
    }
    checkpoint
}

/// A data file's path, in a folder that goes with the first, and its checkpoint without a record.
fn new_file() -> (TempDir, PathBuf, CheckpointFile) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("logs.txt");
    let (file, none) = CheckpointFile::open(&data).unwrap();
    assert_eq!(none, None);
    (folder, data, file)
}

/// What whoever opens it next would find.
fn reread(data: &Path) -> Option<Checkpoint> {
    last_record(&std::fs::read(CheckpointFile::path_of(data)).unwrap()).1
}

/// Given a file whose services find no number any more in the consumer that takes it over, none is counted twice.
#[test]
fn services_of_a_file_that_a_busy_consumer_takes_over() {
    let ours = ServiceNames::default();
    let mut totals = Counts::default();
    for n in 0..1_000 {
        totals.add(Level::Info, Some(ours.id(&format!("a{n}"))));
    }
    let mut position = Position::default();
    position.set_totals(&totals, &ours);
    // Another process takes the file over, which knows a thousand other names.
    let theirs = ServiceNames::default();
    for n in 0..1_000 {
        theirs.id(&format!("b{n}"));
    }
    let mut totals = position.totals(&theirs);
    totals.add(Level::Info, Some(theirs.id("a1")));
    position.set_totals(&totals, &theirs);
    let events: u64 = position.levels.values().sum();
    let by_service: u64 = position.services.values().sum();
    assert_eq!((events, by_service), (1_001, 1_001));
}

#[test]
fn the_last_record_counts() {
    let (_folder, data, mut file) = new_file();
    let mut last = checkpoint(0, 4);
    for generation in 1..6 {
        last.generation = generation;
        last.length += 10;
        file.write(&last).unwrap();
        assert_eq!(reread(&data), Some(last.clone()));
    }
}

#[test]
fn a_record_that_outgrows_its_slot_moves() {
    let (_folder, data, mut file) = new_file();
    let mut last = checkpoint(1, 4);
    file.write(&last).unwrap();
    last = Checkpoint { file_id: last.file_id, ..checkpoint(2, 2_000) };
    file.write(&last).unwrap();
    assert_eq!(reread(&data), Some(last.clone()));
    last.generation = 3;
    file.write(&last).unwrap();
    assert_eq!(reread(&data), Some(last));
}

#[test]
fn a_removed_one_is_made_again() {
    let (_folder, data, mut file) = new_file();
    // In larger slots, with the record in the first.
    let last = checkpoint(2, 2_000);
    file.write(&last).unwrap();
    assert!(!file.look_after().unwrap());
    std::fs::remove_file(CheckpointFile::path_of(&data)).unwrap();
    assert!(file.look_after().unwrap());
    file.write(&last).unwrap();
    assert_eq!(reread(&data), Some(last));
}

#[test]
fn what_is_larger_than_any_checkpoint_is_neither_read_nor_written() {
    let (_folder, data, mut file) = new_file();
    let path = CheckpointFile::path_of(&data);
    file.max_bytes = 4 * FIRST_SLOT_BYTES as u64;
    let last = checkpoint(1, 4);
    file.write(&last).unwrap();
    let refused = file.write(&checkpoint(2, 2_000)).unwrap_err().to_string();
    assert!(refused.ends_with("is larger than any checkpoint, at most 64.0 KiB"), "{refused}");
    // The writer goes on with what fits.
    assert_eq!(CheckpointFile::open(&data).unwrap().1, Some(last.clone()));
    file.write(&Checkpoint { generation: 2, ..last }).unwrap();
    assert_eq!(CheckpointFile::open(&data).unwrap().1.unwrap().generation, 2);
    // Blank, and so no bytes on the disk.
    file.file.set_len(MAX_BYTES + 1).unwrap();
    let refused = CheckpointFile::open(&data).unwrap_err().to_string();
    assert!(
        refused.starts_with(path.to_str().unwrap()) && refused.contains("with 1.0 GiB is larger"),
        "{refused}"
    );
}

/// A crash may leave any prefix of the newest slot's write: at every byte, either the new record is there
/// whole or the one before is.
#[test]
fn cut_at_every_byte() {
    let (_folder, data, mut file) = new_file();
    let path = CheckpointFile::path_of(&data);
    let one = checkpoint(1, 2);
    file.write(&one).unwrap();
    let two = Checkpoint { generation: 2, length: 999, ..one.clone() };
    let three = Checkpoint { generation: 3, length: 12_345, ..one.clone() };
    file.write(&two).unwrap();
    let before = std::fs::read(&path).unwrap();
    file.write(&three).unwrap();
    let after = std::fs::read(&path).unwrap();
    let slot = file.slot_bytes;
    for cut in 0..=slot {
        let mut torn = before.clone();
        torn[slot..slot + cut].copy_from_slice(&after[slot..slot + cut]);
        let found = newest(&torn, slot).unwrap();
        assert!(found == two || found == three, "cut at {cut}: {found:?}");
        if cut == slot {
            assert_eq!(found, three);
        }
    }
    // The file itself may be cut as well, when it was never whole.
    for cut in 0..before.len() {
        let found = newest(&before[..cut], slot);
        assert!(found.is_none() || found == Some(two.clone()) || found == Some(one.clone()));
    }
}

/// Any bytes are a record or none, also under a checksum that is right.
#[test]
fn fuzz_checkpoint_bytes() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let crc = format!("{:08x} ", crc32fast::hash(bytes.trim_ascii_end()));
        for bytes in [bytes, &[crc.as_bytes(), bytes].concat()] {
            let Some(found) = newest(bytes, FIRST_SLOT_BYTES) else { continue };
            assert_eq!(
                serde_json::from_slice::<Checkpoint>(&serde_json::to_vec(&found).unwrap()).unwrap(),
                found
            );
        }
    });
}

/// Two records in one file, its bytes, and how large a slot of it is.
fn two_records() -> ([Checkpoint; 2], Vec<u8>, usize) {
    let (_folder, data, mut file) = new_file();
    let one = checkpoint(1, 2);
    let two = Checkpoint { generation: 2, length: 999, ..one.clone() };
    file.write(&one).unwrap();
    file.write(&two).unwrap();
    ([one, two], std::fs::read(CheckpointFile::path_of(&data)).unwrap(), file.slot_bytes)
}

/// Two records, then bytes overwritten anywhere and the end cut: one of them or none, never anything else.
#[test]
fn fuzz_checkpoint_damaged() {
    let (written, whole, slot) = two_records();
    bolero::check!().with_type::<(u16, Vec<u8>, u16)>().for_each(|(at, over, cut)| {
        let mut bytes = whole.clone();
        for (byte, new) in bytes[usize::from(*at) % whole.len()..].iter_mut().zip(over) {
            *byte = *new;
        }
        bytes.truncate(whole.len() - usize::from(*cut) % whole.len());
        let found = newest(&bytes, slot);
        assert!(found.as_ref().is_none_or(|found| written.contains(found)), "{found:?}");
    });
}

proptest! {
    /// A flipped bit never gives a record that was not written.
    #[test]
    fn flipped_bits_are_seen(byte in 0..400_usize, bit in 0..8_u8) {
        let (written, mut bytes, slot) = two_records();
        bytes[byte] ^= 1 << bit;
        prop_assert!(written.contains(&newest(&bytes, slot).unwrap()));
    }
}
