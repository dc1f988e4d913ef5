//! What a topic is beside its name.

#![allow(unsafe_code)]

use crate::guard::Guard;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

/// The identity of a topic (KIP-516), as Kafka's own tools print it: a topic that is deleted and made anew has
/// another. None from brokers before 2.8, which give topics no identity.
///
/// # Errors
/// When no broker answers in time, or the topic does not exist.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let name = CString::new(topic)?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let code = |code: sys::rd_kafka_resp_err_t| KafkaError::AdminOp(RDKafkaErrorCode::from(code));
    // SAFETY: the client is alive for the whole call, and so is `name`; every handle made here is owned by a guard
    // that destroys it once, when this function ends; what is read out of the event is read before that. A reply
    // that comes after the queue is gone is thrown away by librdkafka.
    unsafe {
        let rk = client.native_ptr();
        let queue = Guard::new(sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_destroy);
        let mut names = [name.as_ptr()];
        let topics = Guard::new(
            sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            sys::rd_kafka_TopicCollection_destroy,
        );
        let options = Guard::new(
            sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            sys::rd_kafka_AdminOptions_destroy,
        );
        let set =
            sys::rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, ptr::null_mut(), 0);
        if set != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code(set));
        }
        sys::rd_kafka_DescribeTopics(rk, topics.get(), options.get(), queue.get());
        let event = sys::rd_kafka_queue_poll(queue.get(), timeout_ms);
        if event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let event = Guard::new(event, sys::rd_kafka_event_destroy);
        let error = sys::rd_kafka_event_error(event.get());
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code(error));
        }
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.get());
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        assert_eq!(count, 1, "one topic was asked for");
        let description = *descriptions;
        let error = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(description));
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code(error));
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        let none = sys::rd_kafka_Uuid_most_significant_bits(id) == 0
            && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let text = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned();
        Ok((!none).then_some(text))
    }
}

/// True for what says that the topic, or the partition, is not there.
pub fn says_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition};
    matches!(code, UnknownPartition | UnknownTopic | UnknownTopicId | UnknownTopicOrPartition)
}

/// What to do where there is no such topic.
pub fn create_it(brokers: &str, topic: &str) -> String {
    format!(
        "create it with 'kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 4', or name \
         another with --topic"
    )
}
