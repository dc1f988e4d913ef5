"""Kafka to a file and Redis as fast as Python can, a batch at a time.

tuned.py BROKERS TOPIC REDIS_PORT FILE

Events are passed on as they are; offsets are committed once a batch is in both sinks.
"""

import sys

import redis
from confluent_kafka import Consumer

BATCH = 10_000

brokers, topic, redis_port, path = sys.argv[1:]

consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": "tuned",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "queued.min.messages": 1_000_000,
        "fetch.message.max.bytes": 8 << 20,
        "fetch.queue.backoff.ms": 1,
    }
)
consumer.subscribe([topic])
# With hiredis installed the client packs and parses in C.
client = redis.Redis(host="127.0.0.1", port=int(redis_port))

with open(path, "ab", buffering=0) as file:
    while True:
        messages = consumer.consume(BATCH, 0.1)
        for error in (message.error() for message in messages if message.error()):
            print("error:", error, file=sys.stderr)
        values = [message.value() for message in messages if not message.error()]
        if not values:
            continue
        pipeline = client.pipeline(transaction=False)
        pipeline.lpush("logs:recent", *values)
        pipeline.ltrim("logs:recent", 0, 99_999)
        pipeline.execute()
        values.append(b"")
        file.write(b"\n".join(values))
        consumer.commit(asynchronous=True)
