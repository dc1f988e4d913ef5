//! Flags that every program which talks to Kafka has.

use clap::Args;
use rdkafka::ClientConfig;

/// A broker that has just started may say for a moment that a topic does not exist (it learns of topics from
/// the controller). librdkafka then fails everything that is queued for it, unless the topic was first seen less
/// than this long ago. The longest that works: in microseconds it must fit 31 bits.
const TOPIC_GRACE: (&str, &str) = ("topic.metadata.propagation.max.ms", "2100000");

/// How to reach Kafka.
#[derive(Debug, Clone, Args)]
pub struct KafkaOptions {
    /// Brokers to start from, host:port, separated by commas
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092", value_name = "HOST:PORT,…")]
    pub brokers: String,

    /// Topic of the log events
    #[arg(long, env = "KAFKA_TOPIC", default_value = "logs")]
    pub topic: String,

    /// Any librdkafka property, over the defaults: --kafka compression.type=zstd (repeatable)
    #[arg(long = "kafka", value_name = "KEY=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, String)>,
}

impl KafkaOptions {
    /// A client configuration: `defaults` first, then what the user set over them.
    pub fn client_config(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set(TOPIC_GRACE.0, TOPIC_GRACE.1);
        for &(key, value) in defaults {
            config.set(key, value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }

    /// The user's own value of a librdkafka property, if set.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(format!("expected KEY=VALUE such as linger.ms=5, not '{text}'")),
    }
}
