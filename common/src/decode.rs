//! From payload bytes to what the pipeline needs to know of an event, or the reason why it is refused.
//!
//! Two ways lead there and property tests hold them equal: [`fast`] is one scan for the field order that
//! Sluice's own producer writes and gives up on anything else; [`library`] reads every other JSON object,
//! with the field names of other loggers. `text` turns an event into a line.

pub mod fast;
pub mod library;
mod text;
mod time;

pub(crate) use text::escape;
pub use text::{forges, harmless, single_line};

use crate::level::Level;
use std::borrow::Cow;

/// What the pipeline reads of an event; borrowed from the payload wherever it has no escapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// µs since the epoch; none when missing or not understood.
    pub timestamp: Option<i64>,
    /// Severity; `Info` when missing or not understood.
    pub level: Level,
    /// Service, if named.
    pub service: Option<Cow<'a, str>>,
    /// Host, if named.
    pub host: Option<Cow<'a, str>>,
    /// The producer's run.
    pub producer: Option<Cow<'a, str>>,
    /// Number within the run.
    pub seq: Option<u64>,
    /// When it was due, µs since the epoch.
    pub due: Option<u64>,
    /// The text.
    pub message: Cow<'a, str>,
}

/// Why a payload is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// No bytes at all, or a null payload.
    #[error("the payload is empty")]
    Empty,
    /// Longer than the limit.
    #[error("the payload is longer than the limit")]
    TooLarge,
    /// Not UTF-8.
    #[error("the payload is not valid UTF-8")]
    InvalidUtf8,
    /// Not JSON.
    #[error("the payload is not valid JSON")]
    InvalidJson,
    /// JSON, but not an object.
    #[error("the payload is not a JSON object")]
    NotAnObject,
    /// Nested deeper than the limit.
    #[error("the payload is nested deeper than 128 levels")]
    TooDeep,
    /// A field that Sluice reads stands twice.
    #[error("a field stands twice in the payload")]
    DuplicateField,
    /// No text to log.
    #[error("the payload has no usable message")]
    NoMessage,
}

impl Reject {
    /// All reasons.
    pub const ALL: [Reject; 8] = [
        Reject::Empty,
        Reject::TooLarge,
        Reject::InvalidUtf8,
        Reject::InvalidJson,
        Reject::NotAnObject,
        Reject::TooDeep,
        Reject::DuplicateField,
        Reject::NoMessage,
    ];

    /// Short name, for headers and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reject::Empty => "empty",
            Reject::TooLarge => "too_large",
            Reject::InvalidUtf8 => "invalid_utf8",
            Reject::InvalidJson => "invalid_json",
            Reject::NotAnObject => "not_an_object",
            Reject::TooDeep => "too_deep",
            Reject::DuplicateField => "duplicate_field",
            Reject::NoMessage => "no_message",
        }
    }
}

/// Levels of nesting that an event may have; its own object is the first.
pub const MAX_DEPTH: usize = 128;

/// Reads one payload, unless it is longer than `limit`. What one reader of a topic refuses every other must, too.
///
/// # Errors
/// [`Reject::TooLarge`], or those of [`decode`].
#[inline]
pub fn decode_within(payload: &[u8], limit: usize) -> Result<Event<'_>, Reject> {
    if payload.len() > limit { Err(Reject::TooLarge) } else { decode(payload) }
}

/// Reads one payload of any length.
///
/// # Errors
/// The reason why it is not an event. Of several, the first of: empty, UTF-8, JSON, object, depth, duplicate,
/// message.
pub fn decode(payload: &[u8]) -> Result<Event<'_>, Reject> {
    match fast::decode(payload) {
        Some(event) => Ok(event),
        None => library::decode(payload),
    }
}
