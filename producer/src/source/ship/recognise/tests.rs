use super::*;
use proptest::prelude::*;

/// Read on 22 November 2026 at 12:00 UTC, on a machine one hour east of it.
fn clock() -> Clock {
    Clock {
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        zone: Zone::Fixed(chrono::FixedOffset::east_opt(3600).unwrap()),
    }
}

/// What a line should give: time (RFC 3339; empty for none), level, service, host, message.
type Expected = (&'static str, Option<Level>, Option<&'static str>, Option<&'static str>, &'static str);

#[track_caller]
fn check(line: &str, expected: Expected) {
    let found = recognise(line, &clock());
    let time = found.timestamp.map_or(String::new(), common::event::format_timestamp);
    assert_eq!((time.as_str(), found.level, found.service, found.host, found.message), expected, "{line}");
}

const TRACE: Option<Level> = Some(Level::Trace);
const DEBUG: Option<Level> = Some(Level::Debug);
const INFO: Option<Level> = Some(Level::Info);
const WARN: Option<Level> = Some(Level::Warn);
const ERROR: Option<Level> = Some(Level::Error);
const FATAL: Option<Level> = Some(Level::Fatal);

/// The moment nearly every sample is of, and the same one read as local time of the test's zone.
const UTC: &str = "2026-11-22T07:12:19.000000Z";
const UTC_MILLIS: &str = "2026-11-22T07:12:19.267000Z";
const UTC_MICROS: &str = "2026-11-22T07:12:19.267847Z";
const LOCAL: &str = "2026-11-22T06:12:19.000000Z";
const LOCAL_MILLIS: &str = "2026-11-22T06:12:19.267000Z";
const LOCAL_MICROS: &str = "2026-11-22T06:12:19.267847Z";

#[test]
fn syslog_rfc3164() {
    check(
        "Nov 22 07:12:19 web1 sshd[4242]: Accepted publickey for deploy from 10.0.0.7 port 52144 ssh2",
        (
            LOCAL,
            None,
            Some("sshd"),
            Some("web1"),
            "Accepted publickey for deploy from 10.0.0.7 port 52144 ssh2",
        ),
    );
    check(
        "<11>Nov 22 07:12:19 web1 backup: disk full",
        (LOCAL, ERROR, Some("backup"), Some("web1"), "disk full"),
    );
    check(
        "<4>usb 1-1: device descriptor read/64",
        ("", WARN, None, None, "usb 1-1: device descriptor read/64"),
    );
    check(
        "Nov 22 07:12:19 web1 sshd[1]: error: kex_exchange_identification",
        (LOCAL, ERROR, Some("sshd"), Some("web1"), "kex_exchange_identification"),
    );
    check(
        "Nov 22 07:12:19 web1 kernel: [   12.345678] eth0: link up",
        (LOCAL, None, Some("kernel"), Some("web1"), "[   12.345678] eth0: link up"),
    );
    check(
        "Nov 22 07:12:19 web1 last message repeated 3 times",
        (LOCAL, None, None, Some("web1"), "last message repeated 3 times"),
    );
    check("Nov 22 07:12:19 cron[9]: no host", (LOCAL, None, Some("cron"), None, "no host"));
    check(
        "Nov  2 07:12:19 web1 dockerd[1]: time=\"x\" level=error msg=\"y\"",
        (
            "2026-11-02T06:12:19.000000Z",
            ERROR,
            Some("dockerd"),
            Some("web1"),
            "time=\"x\" level=error msg=\"y\"",
        ),
    );
}

/// At 13:00 there, a line of 22:00 is of the evening before.
#[test]
fn a_time_without_its_day_is_the_last_that_is_not_ahead_of_now() {
    let check_time = |line, time| check(line, (time, DEBUG, None, None, "[main] DEBUG x - y"));
    check_time("22:00:00.000 [main] DEBUG x - y", "2026-11-21T21:00:00.000000Z");
    check_time("13:05:00.000 [main] DEBUG x - y", "2026-11-22T12:05:00.000000Z");
}

#[test]
fn the_year_that_is_missing_is_the_last_that_is_not_ahead_of_now() {
    check("Dec 31 23:59:59 h a: t", ("2025-12-31T22:59:59.000000Z", None, Some("a"), Some("h"), "t"));
    check("Nov 22 13:30:00 h a: t", ("2026-11-22T12:30:00.000000Z", None, Some("a"), Some("h"), "t"));
    check("Feb 29 01:00:00 h a: t", ("2024-02-29T00:00:00.000000Z", None, Some("a"), Some("h"), "t"));
    check("Nov 22 2019 01:00:00 h a: t", ("2019-11-22T00:00:00.000000Z", None, Some("a"), Some("h"), "t"));
    let new_year = Clock { now: "2026-12-31T23:30:00Z".parse().unwrap(), ..clock() };
    let found = recognise("Jan  1 00:29:00 h a: t", &new_year);
    assert_eq!(found.timestamp, Some("2026-12-31T23:29:00Z".parse().unwrap()));
}

#[test]
fn syslog_rfc5424() {
    check(
        "<165>1 2026-11-22T07:12:19.267847Z host.example.com evntslog 123 ID47 [ex@32473 iut=\"3\" a=\"]\\\"\"] text here",
        (UTC_MICROS, INFO, Some("evntslog"), Some("host.example.com"), "text here"),
    );
    check("<34>1 - - - - - - text", ("", FATAL, None, None, "text"));
    let found = recognise("<34>1 2026-11-22T07:12:19Z h su 007 ID47 [a b=\"c\"][d] \u{feff}failed", &clock());
    assert_eq!(
        found.extra,
        [
            ("facility", Value::from(4)),
            ("pid", Value::from("007")),
            ("msgid", Value::from("ID47")),
            ("structured_data", Value::from("[a b=\"c\"][d]")),
        ]
    );
    assert_eq!(found.message, "failed");
    let pid = recognise("Nov 22 07:12:19 web1 sshd[4242]: x", &clock()).extra;
    assert_eq!(pid, [("pid", Value::from(4242))]);
}

#[test]
fn rsyslog_files_with_iso_times() {
    check(
        "2026-11-22T07:12:19.267847+00:00 web1 systemd[1]: Started Daily apt download activities.",
        (UTC_MICROS, None, Some("systemd"), Some("web1"), "Started Daily apt download activities."),
    );
    check(
        "2026-11-22T08:12:19+0100 web1 CRON[77]: pam_unix(cron:session): session opened",
        (UTC, None, Some("CRON"), Some("web1"), "pam_unix(cron:session): session opened"),
    );
    check("2026-11-22T07:12:19+00:00 INFO worker: ready", (UTC, INFO, None, None, "worker: ready"));
    check("2026-11-22T07:12:19Z some words: text", (UTC, None, None, None, "some words: text"));
}

#[test]
fn log4j_and_logback() {
    check(
        "2026-11-22 07:12:19,267 INFO  [main] com.example.App - Started in 3.2 s",
        (LOCAL_MILLIS, INFO, None, None, "[main] com.example.App - Started in 3.2 s"),
    );
    check(
        "2026-11-22 07:12:19.267 [http-nio-8080-exec-1] WARN  c.e.Pool - exhausted",
        (LOCAL_MILLIS, WARN, None, None, "[http-nio-8080-exec-1] WARN  c.e.Pool - exhausted"),
    );
    check(
        "2026-11-22T07:12:19.267Z ERROR 1234 --- [nio-8080-exec-1] c.e.Api : failed",
        (UTC_MILLIS, ERROR, None, None, "1234 --- [nio-8080-exec-1] c.e.Api : failed"),
    );
    check(
        "07:12:19.267 [main] DEBUG c.e.App -- up",
        (LOCAL_MILLIS, DEBUG, None, None, "[main] DEBUG c.e.App -- up"),
    );
    check(
        "2026-11-22 07:12:19,267 - INFO  [QuorumPeer:/0:0:0:0:0:0:0:0:2181] - Notification",
        (LOCAL_MILLIS, INFO, None, None, "[QuorumPeer:/0:0:0:0:0:0:0:0:2181] - Notification"),
    );
    check("26/11/22 07:12:19 INFO Utils: up", (LOCAL, INFO, None, None, "Utils: up"));
    check(
        "22-Nov-2026 07:12:19.267 SEVERE [main] org.apache.catalina.Host deploy",
        (LOCAL_MILLIS, ERROR, None, None, "[main] org.apache.catalina.Host deploy"),
    );
}

#[test]
fn kafka() {
    check(
        "[2026-11-22 07:12:19,267] INFO [KafkaServer id=0] started (kafka.server.KafkaServer)",
        (LOCAL_MILLIS, INFO, None, None, "[KafkaServer id=0] started (kafka.server.KafkaServer)"),
    );
}

#[test]
fn python() {
    check(
        "2026-11-22 07:12:19,267 - payments.api - WARNING - retrying",
        (LOCAL_MILLIS, WARN, None, None, "payments.api - WARNING - retrying"),
    );
    check("2026-11-22 07:12:19,267 - CRITICAL - down", (LOCAL_MILLIS, FATAL, None, None, "down"));
    check("WARNING:root:low on space", ("", WARN, None, None, "root:low on space"));
    check(
        "[2026-11-22 07:12:19 +0000] [77] [INFO] Booting worker",
        (UTC, INFO, None, None, "[77] [INFO] Booting worker"),
    );
    check(
        "[2026-11-22 07:12:19,267: ERROR/MainProcess] Task raised",
        (LOCAL_MILLIS, ERROR, None, None, "[2026-11-22 07:12:19,267: ERROR/MainProcess] Task raised"),
    );
    check(
        "2026-11-22 07:12:19.267 | SUCCESS  | __main__:<module>:1 - done",
        (LOCAL_MILLIS, None, None, None, "SUCCESS  | __main__:<module>:1 - done"),
    );
    check("2026-11-22 07:12:19.267 | DEBUG    | m:f:1 - x", (LOCAL_MILLIS, DEBUG, None, None, "m:f:1 - x"));
    check(
        "Traceback (most recent call last):",
        ("", ERROR, None, None, "Traceback (most recent call last):"),
    );
}

#[test]
fn debian_package_tools() {
    check(
        "2026-11-22 07:12:19 status installed redis-server:amd64 5:7.0.15-1",
        (LOCAL, None, None, None, "status installed redis-server:amd64 5:7.0.15-1"),
    );
    check(
        "2026-11-22 07:12:19 startup archives unpack",
        (LOCAL, None, None, None, "startup archives unpack"),
    );
    check("Start-Date: 2026-11-22  07:12:19", (LOCAL, None, None, None, "Start-Date: 2026-11-22  07:12:19"));
    check(
        "update-alternatives 2026-11-22 07:12:19: link group vi updated",
        (LOCAL, None, None, None, "update-alternatives 2026-11-22 07:12:19: link group vi updated"),
    );
}

#[test]
fn web_servers() {
    let access = |rest: &str, level| {
        let line =
            format!("10.0.0.7 - alice [22/Nov/2026:07:12:19 +0000] \"GET /a?b=\\\"c\\\" HTTP/1.1\" {rest}");
        let found = recognise(&line, &clock());
        assert_eq!((found.level, found.message), (level, line.as_str()));
        assert_eq!(found.timestamp, Some(UTC.parse().unwrap()));
    };
    access("200 612 \"-\" \"curl/8.5.0\"", INFO);
    access("304 0", INFO);
    access("404 153", WARN);
    access("502 157 \"-\" \"Mozilla/5.0 (X11)\"", ERROR);
    let vhost = "example.com:443 ::1 - - [22/Nov/2026:07:12:19 +0000] \"\" 400 0";
    check(vhost, (UTC, WARN, None, None, vhost));
    check(
        "2026/11/22 07:12:19 [error] 123#0: *7 connect() failed (111: Connection refused)",
        (LOCAL, ERROR, None, None, "123#0: *7 connect() failed (111: Connection refused)"),
    );
    check(
        "[Sun Nov 22 07:12:19.267847 2026] [core:error] [pid 7:tid 8] AH00126: Invalid URI",
        (LOCAL_MICROS, ERROR, None, None, "[core:error] [pid 7:tid 8] AH00126: Invalid URI"),
    );
    check("[Sun Nov 22 07:12:19 2026] [notice] caught SIGTERM", (LOCAL, INFO, None, None, "caught SIGTERM"));
}

#[test]
fn kubernetes_and_go() {
    check(
        "E1122 07:12:19.267847       1 reflector.go:147] Failed to watch",
        (LOCAL_MICROS, ERROR, None, None, "1 reflector.go:147] Failed to watch"),
    );
    let line = "time=\"2026-11-22T07:12:19Z\" level=warning msg=\"a \\\"quoted\\\" level=error\" port=80";
    check(line, (UTC, WARN, None, None, line));
    let line = "ts=1795331539.267 caller=main.go:1 level=debug msg=x";
    check(line, (UTC_MILLIS, DEBUG, None, None, line));
    check("2026/11/22 07:12:19 http: Server closed", (LOCAL, None, None, None, "http: Server closed"));
    check(
        "2026-11-22T07:12:19.267Z\tinfo\tapp/main.go:1\tup",
        (UTC_MILLIS, INFO, None, None, "app/main.go:1\tup"),
    );
}

#[test]
fn databases_and_others() {
    check(
        "2026-11-22 07:12:19.267 UTC [123] app@orders ERROR:  duplicate key",
        (UTC_MILLIS, ERROR, None, None, "[123] app@orders ERROR:  duplicate key"),
    );
    check(
        "2026-11-22T07:12:19.267847Z 0 [Warning] [MY-010068] [Server] CA certificate is self signed",
        (UTC_MICROS, WARN, None, None, "0 [Warning] [MY-010068] [Server] CA certificate is self signed"),
    );
    let line = "812:M 22 Nov 2026 07:12:19.267 # WARNING overcommit_memory is set to 0!";
    check(line, (LOCAL_MILLIS, WARN, None, None, line));
    check(
        "1795331539.267     45 10.0.0.7 TCP_MISS/200",
        (UTC_MILLIS, None, None, None, "45 10.0.0.7 TCP_MISS/200"),
    );
    check("1795331539 INFO up", (UTC, INFO, None, None, "up"));
    check("[1795331539] SERVICE ALERT: web1", (UTC, None, None, None, "SERVICE ALERT: web1"));
    check(
        "[2026-11-22 07:12:19] production.ERROR: Undefined variable",
        (LOCAL, ERROR, None, None, "production.ERROR: Undefined variable"),
    );
    check(
        "2026-11-22T07:12:19.267847Z  INFO sluice::kafka: assigned",
        (UTC_MICROS, INFO, None, None, "sluice::kafka: assigned"),
    );
    check(
        "2026-11-22 07:12:19, Info                  CBS    Loaded",
        (LOCAL, INFO, None, None, "CBS    Loaded"),
    );
    check("[INFO] BUILD SUCCESS", ("", INFO, None, None, "BUILD SUCCESS"));
    check("error: could not compile", ("", ERROR, None, None, "could not compile"));
    check("TRACE x", ("", TRACE, None, None, "x"));
}

#[test]
fn offsets_fractions_and_leap_seconds() {
    let time = |line| recognise(line, &clock()).timestamp.map(common::event::format_timestamp);
    assert_eq!(time("2026-11-22T07:12:19-05 x").as_deref(), Some("2026-11-22T12:12:19.000000Z"));
    assert_eq!(time("2026-11-22 07:12:19 -0530 x").as_deref(), Some("2026-11-22T12:42:19.000000Z"));
    assert_eq!(time("2026-11-22 07:12:19 -5 degrees").as_deref(), Some(LOCAL));
    assert_eq!(time("2026-11-22T07:12:19.267847999Z x").as_deref(), Some(UTC_MICROS));
    assert_eq!(time("2016-12-31T23:59:60Z x").as_deref(), Some("2017-01-01T00:00:00.000000Z"));
    for none in ["2026-13-22 07:12:19 x", "2026-11-31 07:12:19 x", "2026-11-22 25:12:19 x", "2026-11-22 x"] {
        assert_eq!(time(none), None, "{none}");
    }
}

#[test]
fn a_level_in_the_text_is_no_level() {
    for line in [
        "2026-11-22 07:12:19 error opening file",
        "2026-11-22 07:12:19 Received ERROR from upstream",
        "Nov 22 07:12:19 h app: the ERROR count is 3",
        "nothing but an error here",
        "Alert the operator",
        "config: path=/etc",
    ] {
        assert_eq!(recognise(line, &clock()).level, None, "{line}");
    }
}

#[test]
fn what_is_not_recognised_is_the_message() {
    for line in
        ["", "plain text", "2026", "<999>x", "[", "\"", "=", "日本語 ログ", "a\0b", "Nov 22", "12:", "{}"]
    {
        check(line, ("", None, None, None, line));
    }
    check("2026-11-22 07:12:19 INFO ", (LOCAL, INFO, None, None, "2026-11-22 07:12:19 INFO "));
}

proptest! {
    #[test]
    fn any_line_gives_a_suffix_of_itself(line in "\\PC*|[0-9A-Za-z\\[\\]<>()\":=, .+TZ/-]{0,80}") {
        let found = recognise(&line, &clock());
        prop_assert!(line.ends_with(found.message));
        prop_assert!(line.is_empty() || !found.message.is_empty());
    }

    #[test]
    fn any_text_behind_a_time_and_level_is_the_message(text in "[a-z0-9äß][\\PC]{0,60}") {
        let line = format!("2026-11-22 07:12:19,267 WARN {text}");
        let found = recognise(&line, &clock());
        prop_assert_eq!(found.message, text.as_str());
        prop_assert_eq!(found.level, Some(Level::Warn));
    }

    #[test]
    fn damaged_samples_do_no_harm(cut in 0usize..120, glyph in any::<char>()) {
        let sample = "<165>1 2026-11-22T07:12:19.267847+01:00 host app 123 ID47 [ex@3 iut=\"3\"] time=\"x\" level=info";
        let cut = cut.min(sample.len());
        for damaged in [
            format!("{}{glyph}{}", &sample[..cut], &sample[cut..]),
            format!("{}{glyph}", &sample[..cut]),
            sample[cut..].to_owned(),
        ] {
            prop_assert!(damaged.ends_with(recognise(&damaged, &clock()).message));
        }
    }
}

#[test]
fn time_spent_grows_with_the_line_not_faster() {
    for unit in ["[", "a=\"", "<13>", "\\\"", ": ", "- ", "Nov ", "x@", "1 ", "[a \"", "2026-11-22 "] {
        // Some ms; a minute and more if each character were looked at from every other.
        let line = unit.repeat(1 << 18);
        let start = std::time::Instant::now();
        recognise(&line, &clock());
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{unit:?}");
    }
}
