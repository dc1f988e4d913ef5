//! What librdkafka tells nobody but its log.
//!
//! Two things that decide what we do stand only there. The debug contexts of those lines are switched on, and the log
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
