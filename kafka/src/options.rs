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
const OTHER_NAMES: [(&str, &str); 8] = [
    ("compression.codec", "compression.type"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
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
const SECRET: [&str; 6] = [
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
    /// One line that says what to change.
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
                return Err(format!("--kafka {key}={value} can't be: {reason}"));
            }
        }
        self.client_config(&[]).create_native_config().map(drop).map_err(|error| refused(&error))
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

/// In one line, what librdkafka has against a configuration.
pub fn refused(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, key, _) if SECRET.contains(&key.as_str()) => {
            format!("--kafka-config {key}: {reason}")
        }
        KafkaError::ClientConfig(_, reason, key, value) => format!("--kafka {key}={value}: {reason}"),
        KafkaError::ClientCreation(reason) => format!("librdkafka refuses this configuration: {reason}"),
        other => format!("librdkafka refuses this configuration: {other}"),
    }
}

/// librdkafka's complaint without the name of its thread and the state of its machine:
/// `127.0.0.1:9092/bootstrap: Connect to … failed: Connection refused (after 0ms in state CONNECT)`.
pub fn in_short(complaint: &str) -> &str {
    let complaint = complaint.split_once("/bootstrap: ").map_or(complaint, |(_, rest)| rest);
    complaint.split_once(" (after ").map_or(complaint, |(start, _)| start)
}

/// As Kafka's own tools read such files: a property a line, `#` begins a comment, blank lines are nothing.
fn read_properties(path: &str) -> Result<Properties, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
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
        let refused = super::refused(&KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "no".to_owned(),
            "sasl.password".to_owned(),
            "hunter=2".to_owned(),
        ));
        assert_eq!(refused, "--kafka-config sasl.password: no");

        std::fs::write(&path, "acks=1\nhunter2\n").unwrap();
        assert_eq!(read_properties(path.to_str().unwrap()).unwrap_err(), "line 2 is not KEY=VALUE");
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused() {
        let refused = options(&["sasl.password=hunter2"]).check(&[]).unwrap_err();
        assert!(refused.contains("--kafka-config") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn what_is_no_property_is_refused() {
        for text in ["linger", "=5", ""] {
            assert!(parse_property(text).is_err(), "{text}");
        }
    }
}
