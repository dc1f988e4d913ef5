//! Events ready to send: their bytes in one arena that is reused from batch to batch.

use kafka::produce::Record;
use std::ops::Range;

/// Events in the order they are to be sent. A `seq` of 0 is none: the event keeps a foreign identity.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Event {
    payload: Range<usize>,
    key: Range<usize>,
    seq: u64,
}

impl Batch {
    /// Forgets the events and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.events.clear();
    }

    /// Adds an event that `write` appends to the bytes, with this key; none or an empty one is none.
    pub(crate) fn push(&mut self, seq: u64, key: Option<&[u8]>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.events.push(Event { payload: start..end, key: end..self.bytes.len(), seq });
    }

    /// Adds an event that `write` appends to the bytes; it returns where in the payload its key stands, empty
    /// for none.
    pub(crate) fn push_with_own_key(&mut self, seq: u64, write: impl FnOnce(&mut Vec<u8>) -> Range<usize>) {
        let start = self.bytes.len();
        let key = write(&mut self.bytes);
        let key = start + key.start..start + key.end;
        self.events.push(Event { payload: start..self.bytes.len(), key, seq });
    }

    /// Puts the events in the order of their `seq`; those with the same, or none, stay in the order they have.
    pub(crate) fn sort(&mut self) {
        self.events.sort_by_key(|event| event.seq);
    }

    /// Number of events.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The `seq` of the event at `index`.
    pub(crate) fn seq(&self, index: usize) -> u64 {
        self.events[index].seq
    }

    /// Bytes of the payloads of these events.
    pub fn payload_bytes(&self, events: Range<usize>) -> u64 {
        self.events[events].iter().map(|event| event.payload.len() as u64).sum()
    }

    /// What librdkafka takes, from event `from` on: the number of a record is its `seq`.
    pub(crate) fn records_from(&self, from: usize) -> impl Iterator<Item = Record<'_>> {
        self.events[from..].iter().map(|event| Record {
            payload: &self.bytes[event.payload.clone()],
            key: (!event.key.is_empty()).then(|| &self.bytes[event.key.clone()]),
            number: usize::try_from(event.seq).expect("a 64-bit machine"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_keys_and_numbers_come_back_as_they_were_put_in() {
        let mut batch = Batch::default();
        for _ in 0..2 {
            batch.clear();
            batch.push(7, None, |bytes| bytes.extend_from_slice(b"plain"));
            batch.push(8, Some(b"auth"), |bytes| bytes.extend_from_slice(b"keyed"));
            batch.push_with_own_key(9, |bytes| {
                bytes.extend_from_slice(b"in auth itself");
                3..7
            });
            let numbers: Vec<usize> = batch.records_from(0).map(|record| record.number).collect();
            let payloads: Vec<&[u8]> = batch.records_from(0).map(|record| record.payload).collect();
            let keys: Vec<Option<&[u8]>> = batch.records_from(0).map(|record| record.key).collect();
            assert_eq!(numbers, [7, 8, 9]);
            assert_eq!(payloads, [b"plain".as_slice(), b"keyed", b"in auth itself"]);
            assert_eq!(keys, [None, Some(b"auth".as_slice()), Some(b"auth")]);
            assert_eq!(batch.records_from(2).map(|r| r.number).collect::<Vec<_>>(), [9]);
            assert_eq!((batch.len(), batch.payload_bytes(0..3), batch.payload_bytes(1..2)), (3, 24, 5));
        }
    }
    #[test]
    fn sorted_they_stand_in_the_order_they_were_made() {
        let mut batch = Batch::default();
        for (seq, payload) in [(2, b"b"), (0, b"x"), (1, b"a"), (2, b"c"), (0, b"y")] {
            batch.push(seq, None, |bytes| bytes.extend_from_slice(payload));
        }
        batch.sort();
        let payloads: Vec<&[u8]> = batch.records_from(0).map(|record| record.payload).collect();
        assert_eq!(payloads.concat(), b"xyabc");
    }
}
