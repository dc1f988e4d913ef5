"""Kafka to a file and Redis as tutorials write it, one event at a time.

tutorial.py BROKERS TOPIC REDIS_PORT FILE
"""

import json
import sys

import redis
from confluent_kafka import Consumer

brokers, topic, redis_port, path = sys.argv[1:]

consumer = Consumer({"bootstrap.servers": brokers, "group.id": "tutorial", "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
client = redis.Redis(host="127.0.0.1", port=int(redis_port))

with open(path, "a", encoding="utf-8") as file:
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            print("error:", message.error(), file=sys.stderr)
            continue
        event = json.loads(message.value())
        line = json.dumps(event)
        client.lpush("logs:recent", line)
        client.ltrim("logs:recent", 0, 99_999)
        file.write(line + "\n")
        file.flush()
