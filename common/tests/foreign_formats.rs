//! What other loggers write, line by line, and what Sluice reads of it.

use common::decode::{Event, decode};
use common::level::Level;

/// 2026-11-22T07:12:19.267847Z
const INSTANT: i64 = 1_795_331_539_267_847;
const MILLIS: i64 = INSTANT - 847;
const SECOND: i64 = INSTANT - 267_847;

fn read(payload: &str) -> Event<'_> {
    decode(payload.as_bytes()).unwrap_or_else(|reject| panic!("{reject}: {payload}"))
}

#[track_caller]
fn reads(payload: &str, timestamp: i64, level: Level, message: &str) {
    let event = read(payload);
    assert_eq!(event.timestamp, Some(timestamp), "{payload}");
    assert_eq!(event.level, level, "{payload}");
    assert_eq!(event.message, message, "{payload}");
}

#[test]
fn the_minimum() {
    reads(
        r#"{"timestamp": "2026-11-22T07:12:19Z", "level": "INFO", "message": "User logged in"}"#,
        SECOND,
        Level::Info,
        "User logged in",
    );
}

#[test]
fn logback_with_the_logstash_encoder() {
    reads(
        r#"{"@timestamp":"2026-11-22T08:12:19.267847+01:00","@version":"1","message":"Connection refused","logger_name":"com.example.Pool","thread_name":"main","level":"ERROR","level_value":40000,"stack_trace":"java.net.ConnectException: refused\n\tat com.example.Pool.get(Pool.java:42)\n"}"#,
        INSTANT,
        Level::Error,
        "Connection refused",
    );
}

#[test]
fn log4j_with_epoch_milliseconds() {
    reads(
        r#"{"timeMillis":1795331539267,"thread":"main","level":"WARN","loggerName":"com.example.App","message":"slow","endOfBatch":false}"#,
        MILLIS,
        Level::Warn,
        "slow",
    );
}

#[test]
fn pino() {
    reads(
        r#"{"level":30,"time":1795331539267,"pid":657,"hostname":"box-1","msg":"hello world"}"#,
        MILLIS,
        Level::Info,
        "hello world",
    );
    assert_eq!(read(r#"{"level":60,"time":1,"hostname":"box-1","msg":""}"#).host.as_deref(), Some("box-1"));
}

#[test]
fn bunyan() {
    reads(
        r#"{"name":"myapp","hostname":"banana.local","pid":40161,"level":50,"msg":"boom","time":"2026-11-22T07:12:19.267Z","v":0}"#,
        MILLIS,
        Level::Error,
        "boom",
    );
}

#[test]
fn zap() {
    reads(
        r#"{"level":"dpanic","ts":1795331539.267847,"logger":"db","caller":"db/pool.go:42","msg":"failed to fetch URL","attempt":3,"backoff":1}"#,
        INSTANT,
        Level::Error,
        "failed to fetch URL",
    );
    reads(r#"{"level":"info","ts":"2026-11-22T08:12:19.267+0100","msg":"iso"}"#, MILLIS, Level::Info, "iso");
}

#[test]
fn slog_of_go() {
    reads(
        r#"{"time":"2026-11-22T08:12:19.267847123+01:00","level":"DEBUG","msg":"cache miss","key":"u:1"}"#,
        INSTANT,
        Level::Debug,
        "cache miss",
    );
}

#[test]
fn structlog_and_python_json_logger() {
    reads(
        r#"{"event": "payment failed", "level": "critical", "timestamp": "2026-11-22T07:12:19.267847Z", "order": 17}"#,
        INSTANT,
        Level::Fatal,
        "payment failed",
    );
    reads(
        r#"{"asctime": "2026-11-22 07:12:19,267", "name": "app.db", "levelname": "WARNING", "message": "retrying"}"#,
        MILLIS,
        Level::Warn,
        "retrying",
    );
}

#[test]
fn tracing_of_rust() {
    reads(
        r#"{"timestamp":"2026-11-22T07:12:19.267847Z","level":"WARN","fields":{"message":"queue full","depth":9},"target":"app::queue"}"#,
        INSTANT,
        Level::Warn,
        "queue full",
    );
}

#[test]
fn opentelemetry() {
    let protocol = r#"{"timeUnixNano":"1795331539267847123","observedTimeUnixNano":"1795331539999999999","severityNumber":17,"severityText":"Error","body":{"stringValue":"Example log record"},"attributes":[{"key":"k","value":{"intValue":"1"}}],"traceId":"5b8efff798038103d269b633813fc60c"}"#;
    reads(protocol, INSTANT, Level::Error, "Example log record");
    let model = r#"{"Timestamp":1795331539267847123,"SeverityText":"WARN3","SeverityNumber":15,"Body":"20200415T072306-0700 INFO I like donuts","Resource":{"service.name":"donut_shop","service.version":"2.0.0"}}"#;
    reads(model, INSTANT, Level::Warn, "20200415T072306-0700 INFO I like donuts");
    assert_eq!(read(model).service.as_deref(), Some("donut_shop"));
    // Zero stands for "not known".
    let observed =
        r#"{"timeUnixNano":"0","observedTimeUnixNano":"1795331539267847123","severityNumber":1,"body":"x"}"#;
    reads(observed, INSTANT, Level::Trace, "x");
}

#[test]
fn gelf() {
    let gelf = r#"{"version":"1.1","host":"example.org","short_message":"A short message","full_message":"Backtrace here\n\nmore","timestamp":1795331539.267,"level":3,"_user_id":9001}"#;
    reads(gelf, MILLIS, Level::Error, "A short message");
    assert_eq!(read(gelf).host.as_deref(), Some("example.org"));
}

#[test]
fn elastic_common_schema() {
    let ecs = r#"{"@timestamp":"2026-11-22T07:12:19.267Z","log.level":"ERROR","message":"out of stock","ecs.version":"1.2.0","service.name":"shop","host":{"name":"h1","os":{"type":"linux"}},"event":{"dataset":"shop"}}"#;
    reads(ecs, MILLIS, Level::Error, "out of stock");
    assert_eq!(read(ecs).service.as_deref(), Some("shop"));
    assert_eq!(read(ecs).host.as_deref(), Some("h1"));
    assert_eq!(
        read(r#"{"service":{"name":"shop","type":"x"},"message":"m"}"#).service.as_deref(),
        Some("shop")
    );
}

#[test]
fn docker_and_google_cloud() {
    reads(
        r#"{"log":"listening on 80\n","stream":"stdout","time":"2026-11-22T07:12:19.267847123Z"}"#,
        INSTANT,
        Level::Info,
        "listening on 80\n",
    );
    reads(
        r#"{"severity":"NOTICE","message":"deployed","time":"2026-11-22T07:12:19Z"}"#,
        SECOND,
        Level::Info,
        "deployed",
    );
}

#[test]
fn the_canonical_name_wins_and_what_is_not_understood_gives_way() {
    let both = r#"{"msg":"alias","message":"canonical","severity":"ERROR","level":"DEBUG","ts":1,"timestamp":1795331539}"#;
    reads(both, SECOND, Level::Debug, "canonical");
    let odd = r#"{"message":null,"msg":"alias","level":"loud","severity":"ERROR","timestamp":"soon","ts":1795331539}"#;
    reads(odd, SECOND, Level::Error, "alias");
    assert_eq!(read(r#"{"msg":"first","msg":"last"}"#).message, "last");
}

#[test]
fn time_and_level_are_no_reason_to_refuse() {
    for payload in [
        r#"{"message":"m"}"#,
        r#"{"message":"m","timestamp":null,"level":null}"#,
        r#"{"message":"m","timestamp":"2026-02-30T00:00:00Z","level":{}}"#,
        r#"{"message":"m","timestamp":1e999,"level":-1}"#,
        r#"{"message":"m","timestamp":[],"level":99999999999999999999}"#,
    ] {
        let event = read(payload);
        assert_eq!((event.timestamp, event.level), (None, Level::Info), "{payload}");
    }
}

#[test]
fn identity_of_others_is_left_alone() {
    for seq in
        ["-1", "1.5", "1.0", "1e3", "\"7\"", "null", "18446744073709551616", "1e999", "[]", "{}", "true"]
    {
        let payload = format!(r#"{{"producer":{seq},"seq":{seq},"due":{seq},"message":"m"}}"#);
        let event = read(&payload);
        assert_eq!((event.seq, event.due), (None, None), "{payload}");
        assert_eq!(event.producer.is_some(), seq.starts_with('"'), "{payload}");
    }
    assert_eq!(read(r#"{"seq":18446744073709551615,"message":"m"}"#).seq, Some(u64::MAX));
}

#[test]
fn escapes_and_halves_of_emoji() {
    let event = read(r#"{"service":"a\u0062c","message":"\ud83d\ude00 \"quoted\" C:\\ \/ tab\t"}"#);
    assert_eq!(event.service.as_deref(), Some("abc"));
    assert_eq!(event.message, "😀 \"quoted\" C:\\ / tab\t");
    for (text, message) in [
        (r"cut \ud83d", "cut \u{FFFD}"),
        (r"\ude00 cut", "\u{FFFD} cut"),
        (r"é\ud83d\ud83d\ude00\nx", "é\u{FFFD}😀\nx"),
        (r"\ud83dx\ude00", "\u{FFFD}x\u{FFFD}"),
    ] {
        assert_eq!(read(&format!(r#"{{"message":"{text}"}}"#)).message, message, "{text}");
    }
    assert_eq!(read(r#"{"other":"\ud83d","message":"m"}"#).message, "m");
    assert_eq!(read(r#"{"mess\u0061ge":"m"}"#).message, "m");
}
