//! Flags that every program which talks to Kafka has.

use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::fmt::{self, Debug, Formatter};

/// A broker that has just started may say for a moment that a topic does not exist (it learns of topics from the
/// controller). librdkafka then fails everything that is queued for it, unless it came to know the topic less
/// than the first time ago, at most 2,147 s: in microseconds it must fit 31 bits. It comes to know the topic anew
/// whenever its knowledge has aged by the second time; so the grace never runs out, however long a program runs,
/// unless all brokers are away for more than half an hour.
const TOPIC_GRACE: [(&str, &str); 2] =
    [("topic.metadata.propagation.max.ms", "2100000"), ("metadata.max.age.ms", "60000")];

/// Back within a second or so once a broker can be reached again; librdkafka's own limit is 10 s.
const RECONNECT: (&str, &str) = ("reconnect.backoff.max.ms", "1000");

/// Properties that have two names, and the one of them that is used here: under both at once it would be left to
/// chance which value counts.
const OTHER_NAMES: [(&str, &str); 11] = [
    ("compression.codec", "compression.type"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
];

/// How to reach Kafka.
#[derive(Debug, Clone, Args)]
pub struct KafkaOptions {
    /// Brokers to start from, host:port, separated by commas
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092", value_name = "HOST:PORT,…")]
    pub brokers: String,

    /// Topic of the log events
    #[arg(long, env = "KAFKA_TOPIC", default_value = "logs")]
    pub topic: String,

    /// File of librdkafka properties, KEY=VALUE a line, for all that is secret: sasl.password=…
    #[arg(long = "kafka-config", env = "KAFKA_CONFIG", value_name = "FILE", value_parser = read_properties)]
    pub config_file: Option<Properties>,

    /// Any librdkafka property, over the defaults and the file: --kafka socket.keepalive.enable=true (repeatable)
    #[arg(long = "kafka", value_name = "KEY=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, String)>,
}

/// Properties read from a file; they may be secret, so that nothing shows them.
#[derive(Clone, Default)]
pub struct Properties(Vec<(String, String)>);

impl Debug for Properties {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// Properties that are secret, or say where a secret is in a way that everyone may not see.
const SECRET: [&str; 8] = [
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

impl KafkaOptions {
    /// A client configuration: `defaults` first, then what the user set over them.
    pub fn client_config(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for &(key, value) in TOPIC_GRACE.iter().chain([&RECONNECT]).chain(defaults) {
            config.set(key, value);
        }
        for (key, value) in self.set_by_user() {
            config.set(key, value);
        }
        config
    }

    /// Sees whether librdkafka knows the properties, and whether they may be set: of the `reserved` ones, each with
    /// the reason, only with the values that are named.
    ///
    /// # Errors
    /// What to change; with the keys of the file as they are, whatever characters are in them.
    pub fn check(&self, reserved: &[Reserved]) -> Result<(), String> {
        if self.brokers.split(',').all(|broker| broker.trim().is_empty()) {
            return Err("--brokers names no broker: give host:port".to_owned());
        }
        if let Some((key, _)) = self.properties.iter().find(|(key, _)| SECRET.contains(&key.as_str())) {
            return Err(format!(
                "--kafka {key}=… shows a secret to everyone who may list processes: put that line into a file, and \
                 name it with --kafka-config"
            ));
        }
        let brokers = Reserved { key: "bootstrap.servers", allowed: &[], reason: "use --brokers" };
        for &Reserved { key, allowed, reason } in reserved.iter().chain([&brokers]) {
            if let Some(value) = self.property(key).filter(|value| !allowed.contains(value)) {
                let (Shown::Whole(property) | Shown::Key(property)) = self.as_set(key, value);
                return Err(format!("{property} can't be: {reason}"));
            }
        }
        self.client_config(&[]).create_native_config().map(drop).map_err(|error| self.refused(&error))
    }

    /// What librdkafka has against a configuration made of these.
    pub fn refused(&self, error: &KafkaError) -> String {
        let refused = match error {
            KafkaError::ClientConfig(_, reason, key, value) => match self.as_set(key, value) {
                Shown::Whole(property) => format!("{property}: {reason}"),
                // librdkafka repeats a value that it does not take.
                Shown::Key(property) if WITHOUT_VALUE.iter().any(|part| reason.contains(part)) => {
                    format!("{property}: {reason}")
                }
                Shown::Key(property) => format!("{property}: librdkafka does not take its value"),
            },
            KafkaError::ClientCreation(reason) => {
                format!("librdkafka refuses this configuration: {reason}")
            }
            other => format!("librdkafka refuses this configuration: {other}"),
        };
        // Some reasons end in a line break.
        refused.trim_end().to_owned()
    }

    /// A property as the user set it; without the value where that stands in the file. There it may be secret whatever
    /// the property is called: `sasl.pasword`.
    fn as_set(&self, key: &str, value: &str) -> Shown {
        if self.properties.iter().any(|(k, _)| k == key) && !SECRET.contains(&key) {
            Shown::Whole(format!("--kafka {key}={value}"))
        } else {
            Shown::Key(format!("--kafka-config {key}"))
        }
    }

    /// The user's own value of a librdkafka property, if set.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.set_by_user().filter(|(k, _)| *k == key).last().map(|(_, value)| value)
    }

    /// What the user set, the last word on a property last.
    fn set_by_user(&self) -> impl Iterator<Item = (&str, &str)> {
        let file = self.config_file.iter().flat_map(|file| &file.0);
        file.chain(&self.properties).map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// A property that is not the user's to set as he likes.
#[derive(Debug, Clone, Copy)]
pub struct Reserved {
    /// Its name.
    pub key: &'static str,
    /// Values that do no harm.
    pub allowed: &'static [&'static str],
    /// Why no other.
    pub reason: &'static str,
}

/// How much of a property may be shown.
enum Shown {
    Whole(String),
    Key(String),
}

/// Of librdkafka's complaints, those that do not repeat the value, or only as a number.
const WITHOUT_VALUE: [&str; 4] = [
    "No such configuration property",
    "not supported in this build",
    "outside allowed range",
    "Expected bool value",
];

/// librdkafka's complaint without the name of its thread and the state of its machine:
/// `127.0.0.1:9092/bootstrap: Connect to … failed: Connection refused (after 0ms in state CONNECT)`.
pub fn in_short(complaint: &str) -> &str {
    let complaint = complaint.split_once("/bootstrap: ").map_or(complaint, |(_, rest)| rest);
    complaint.split_once(" (after ").map_or(complaint, |(start, _)| start)
}

/// As Kafka's own tools read such files: a property a line, `#` begins a comment, blank lines are nothing.
fn read_properties(path: &str) -> Result<Properties, String> {
    properties_in(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)
}

fn properties_in(text: &str) -> Result<Properties, String> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    // Not with the line itself: it may be secret.
    let property =
        |(number, line)| parse_property(line).map_err(|_| format!("line {number} is not KEY=VALUE"));
    lines.map(property).collect::<Result<_, _>>().map(Properties)
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            let key = key.trim();
            let key = OTHER_NAMES.iter().find(|(other, _)| *other == key).map_or(key, |(_, ours)| ours);
            Ok((key.to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!("expected KEY=VALUE such as linger.ms=5, not '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(properties: &[&str]) -> KafkaOptions {
        let properties = properties.iter().map(|text| parse_property(text).expect("KEY=VALUE")).collect();
        KafkaOptions {
            brokers: "here:9092".to_owned(),
            topic: "logs".to_owned(),
            config_file: None,
            properties,
        }
    }

    #[test]
    fn what_the_user_sets_wins_under_either_name() {
        let config = options(&["queue.buffering.max.ms=50", "acks=1"]);
        let config = config.client_config(&[("linger.ms", "5"), ("acks", "all")]);
        assert_eq!((config.get("linger.ms"), config.get("queue.buffering.max.ms")), (Some("50"), None));
        assert_eq!(config.get("acks"), Some("1"));
    }

    #[test]
    fn reserved_and_unknown_properties_are_refused() {
        let reserved = [Reserved { key: "acks", allowed: &["all", "-1"], reason: "all must have it" }];
        let check = |property: &str| options(&[property]).check(&reserved);
        assert_eq!(check("acks=all"), Ok(()));
        assert_eq!(check("acks=1"), Err("--kafka acks=1 can't be: all must have it".to_owned()));
        assert_eq!(check("request.required.acks=1"), check("acks=1"));
        assert!(check("bootstrap.servers=x").is_err_and(|error| error.contains("use --brokers")));
        assert!(check("no.such.property=1").is_err_and(|error| error.contains("no.such.property=1: ")));
    }

    #[test]
    fn secrets_come_from_a_file_and_are_shown_nowhere() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("client.properties");
        std::fs::write(&path, "# ours\n\nsasl.password = hunter=2 \nacks=1\n").unwrap();
        let file = read_properties(path.to_str().unwrap()).unwrap();
        let options = KafkaOptions { config_file: Some(file), ..options(&["acks=all"]) };
        let config = options.client_config(&[]);
        assert_eq!((config.get("sasl.password"), config.get("acks")), (Some("hunter=2"), Some("all")));
        assert_eq!(
            (options.property("sasl.password"), options.property("acks")),
            (Some("hunter=2"), Some("all"))
        );
        assert!(!format!("{options:?}").contains("hunter"));
        let refused = options.refused(&KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value for configuration property \"sasl.password\": hunter=2".to_owned(),
            "sasl.password".to_owned(),
            "hunter=2".to_owned(),
        ));
        assert_eq!(refused, "--kafka-config sasl.password: librdkafka does not take its value");

        std::fs::write(&path, "acks=1\nhunter2\n").unwrap();
        assert_eq!(read_properties(path.to_str().unwrap()).unwrap_err(), "line 2 is not KEY=VALUE");
    }

    /// The properties of a file with this text.
    fn file(text: &str) -> KafkaOptions {
        KafkaOptions { config_file: Some(properties_in(text).expect("lines of KEY=VALUE")), ..options(&[]) }
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said_without_its_values() {
        let reserved = [Reserved { key: "group.id", allowed: &[], reason: "use --group" }];
        for (text, said) in [
            ("sasl.pasword=hunter2", r#"sasl.pasword: No such configuration property: "sasl.pasword""#),
            ("\u{feff}sasl.password=hunter2", "\u{feff}sasl.password: No such configuration property"),
            ("security.protocol=hunter2", "security.protocol: librdkafka does not take its value"),
            ("debug=all,hunter2", "debug: librdkafka does not take its value"),
            ("group.id=hunter2", "group.id can't be: use --group"),
            ("linger.ms=-5", "linger.ms: Configuration property"),
        ] {
            let refused = file(text).check(&reserved).unwrap_err();
            assert!(refused.starts_with(&format!("--kafka-config {said}")), "{refused}");
            assert!(!refused.contains("hunter2") && refused.lines().count() == 1, "{refused}");
        }
        let refused = options(&["linger.ms=-5"]).check(&[]).unwrap_err();
        assert!(refused.starts_with("--kafka linger.ms=-5: ") && !refused.contains('\n'), "{refused:?}");
    }

    /// Any file is read, or a line of it refused. Whatever librdkafka has against it, no value is shown, and
    /// no control character that is not in the file.
    #[test]
    fn fuzz_kafka_config() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let file = match properties_in(&text) {
                Ok(file) => file,
                Err(said) => {
                    let number = said.strip_prefix("line ").and_then(|s| s.strip_suffix(" is not KEY=VALUE"));
                    let number: usize = number.and_then(|number| number.parse().ok()).expect(&said);
                    let line = text.lines().nth(number - 1).expect("a line of the file");
                    assert!(parse_property(line.trim()).is_err());
                    return;
                }
            };
            let reserved = [Reserved { key: "group.id", allowed: &["a"], reason: "use --group" }];
            let told =
                |file: Properties| KafkaOptions { config_file: Some(file), ..options(&[]) }.check(&reserved);
            let marked = file.0.iter().map(|(key, value)| (key.clone(), format!("{value}hunter2"))).collect();
            for file in [file, Properties(marked)] {
                let Err(said) = told(file) else { continue };
                assert!(said.chars().all(|c| !c.is_control() || text.contains(c)), "{said:?}");
                assert!(text.contains("hunter2") || !said.contains("hunter2"), "{said}");
            }
        });
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused() {
        for secret in [
            "sasl.password=hunter2",
            "sasl.oauthbearer.client.credentials.client.secret=hunter2",
            "sasl.oauthbearer.assertion.private.key.passphrase=hunter2",
        ] {
            let refused = options(&[secret]).check(&[]).unwrap_err();
            assert!(refused.contains("--kafka-config") && !refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_property_is_refused() {
        for text in ["linger", "=5", ""] {
            assert!(parse_property(text).is_err(), "{text}");
        }
    }
}
