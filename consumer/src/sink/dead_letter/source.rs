//! Where a rejected event came from, as it stands in the headers of what is kept of it.

use rdkafka::message::{Header, Headers, OwnedHeaders};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// Header: why the event was refused ([`Reject::as_str`](common::decode::Reject::as_str)).
pub const REASON: &str = "reason";
/// Header: length of the whole payload, where only its beginning is kept.
pub const PAYLOAD_BYTES: &str = "payload_bytes";
/// Header: length of the whole key, where only its beginning is kept.
pub const KEY_BYTES: &str = "key_bytes";
/// Header of a receipt: the event was brought back, at that time (RFC 3339).
pub const REPLAYED: &str = "replayed";

/// The place of an event, which tells it from every other one: after a crash it may be in the topic of the rejected
/// twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Its topic.
    pub topic: String,
    /// Identity of the topic, from brokers that give such: one of the same name that is made anew has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

impl Source {
    /// One for tests.
    #[cfg(test)]
    pub fn of_test(offset: i64) -> Source {
        Source { topic: "logs".to_owned(), topic_id: None, partition: 0, offset }
    }

    /// Headers that say it.
    pub fn headers(&self) -> OwnedHeaders {
        let (partition, offset) = (self.partition.to_string(), self.offset.to_string());
        let mut headers = vec![("topic", &self.topic), ("partition", &partition), ("offset", &offset)];
        headers.extend(self.topic_id.as_ref().map(|id| ("topic_id", id)));
        headers.iter().fold(OwnedHeaders::new(), |headers, &(key, value)| {
            headers.insert(Header { key, value: Some(value) })
        })
    }

    /// Reads it from headers; none if they say nothing of the kind.
    pub fn read(headers: &impl Headers) -> Option<Source> {
        Some(Source {
            topic: header(headers, "topic")?.to_owned(),
            topic_id: header(headers, "topic_id").map(str::to_owned),
            partition: header(headers, "partition")?.parse().ok()?,
            offset: header(headers, "offset")?.parse().ok()?,
        })
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Value of a header, if it is there and text.
pub fn header<'h>(headers: &'h impl Headers, name: &str) -> Option<&'h str> {
    headers
        .iter()
        .find(|header| header.key == name)
        .and_then(|header| std::str::from_utf8(header.value?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for topic_id in [None, Some("fvj7Ya4CQNqXAFUZ6K1BWw".to_owned())] {
            let source = Source { topic: "logs".to_owned(), topic_id, partition: 3, offset: 1 << 40 };
            let headers = source.headers().insert(Header { key: REASON, value: Some("empty") });
            assert_eq!(Source::read(&headers), Some(source));
            assert_eq!(header(&headers, REASON), Some("empty"));
            assert_eq!(header(&headers, REPLAYED), None);
        }
    }

    #[test]
    fn what_others_wrote_is_not_taken_for_one() {
        let headers = OwnedHeaders::new().insert(Header { key: "topic", value: Some("logs") });
        assert_eq!(Source::read(&headers), None);
        let odd = headers.insert(Header { key: "partition", value: Some("x") });
        assert_eq!(Source::read(&odd.insert(Header { key: "offset", value: Some("1") })), None);
    }
}
