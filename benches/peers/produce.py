"""Lines of a file into a topic, over and over, as fast as Python can.

produce.py BROKERS TOPIC FILE COUNT
"""

import sys

from confluent_kafka import Producer

BATCH = 1_000

brokers, topic, path, count = sys.argv[1:]
count = int(count)
refused = 0


def delivered(error, _message):
    global refused
    refused += error is not None


producer = Producer(
    {
        "bootstrap.servers": brokers,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "batch.num.messages": 10_000,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 1_000_000,
        "delivery.report.only.error": True,
        "on_delivery": delivered,
    }
)
with open(path, "rb") as file:
    payloads = file.read().splitlines()

sent = 0
while sent < count:
    start = sent % len(payloads)
    batch = payloads[start : start + min(BATCH, count - sent)]
    for payload in batch:
        while True:
            try:
                producer.produce(topic, payload)
                break
            except BufferError:
                producer.poll(0.1)
    producer.poll(0)
    sent += len(batch)
unsent = producer.flush(60)
sys.exit(f"{refused} refused, {unsent} not acknowledged" if refused or unsent else 0)
