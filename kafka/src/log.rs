//! What librdkafka tells nobody but its log.
//!
//! Things that decide what we do stand only there. The debug contexts of those lines are switched on, and the log
//! goes to a queue that is looked through.

#![allow(unsafe_code)]

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use std::ffi::CStr;
use std::ptr;

/// Has the lines of a debug context written, beside those that the user wants.
pub(crate) fn listen(config: &mut ClientConfig, context: &str) {
    let contexts = match config.get("debug") {
        Some(more) => format!("{context},{more}"),
        None => context.to_owned(),
    };
    config.set("debug", contexts).set_log_level(RDKafkaLogLevel::Debug);
}

/// What a client's configuration must hold for its log to say that a topic was made anew.
pub fn watch_topics(config: &mut ClientConfig) {
    // `metadata` is the context of the one line that counts; few others have it.
    listen(config, "metadata");
}

/// True for `Topic logs changed id from … to …`, unless it is the first id that the client learns: sixteen zeros,
/// in base64.
pub(crate) fn says_made_anew(log_line: &str) -> bool {
    let ids = log_line.split_once(" changed id from ").map(|(_, ids)| ids);
    ids.is_some_and(|ids| !ids.starts_with("AAAAAAAAAAAAAAAAAAAAAA"))
}

/// The text of a log line, which is passed on to our own log; none if the event is something else.
///
/// # Safety
/// `event` is a living event.
pub(crate) unsafe fn line(event: *mut sys::rd_kafka_event_t) -> Option<String> {
    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the event lives, says the caller; the strings that it owns are C strings if, as is checked, it is a log
    // line, and are copied before this returns.
    let (facility, text) = unsafe {
        if sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) != 0 {
            return None;
        }
        (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    tracing::debug!(%facility, level, "Kafka client: {text}");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_topic_made_anew() {
        let line =
            |from: &str| format!("[thrd:main]: Topic logs changed id from {from} to fvj7Ya4CQNqXAFUZ6K1BWw");
        assert!(says_made_anew(&line("rWTg1E3tT0yuCbWlUGr9-A")));
        assert!(!says_made_anew(&line("AAAAAAAAAAAAAAAAAAAAAA")), "known for the first time");
        assert!(!says_made_anew("[thrd:main]: Topic logs [0] Leader 1 Epoch 0"));
    }

    #[test]
    fn listening_keeps_what_the_user_debugs() {
        let mut config = ClientConfig::new();
        config.set("debug", "fetch");
        watch_topics(&mut config);
        assert_eq!(config.get("debug"), Some("metadata,fetch"));
    }
}
