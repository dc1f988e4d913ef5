//! librdkafka.
