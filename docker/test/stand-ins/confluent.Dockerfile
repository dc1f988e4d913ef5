# Stands in for confluentinc/cp-zookeeper and cp-kafka: the same ZooKeeper and Kafka as jars (the build context),
# with the user, folders, volumes and environment of the public images.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 appuser \
    && install -d -o appuser -g root -m 0775 /etc/kafka /etc/kafka/secrets /etc/zookeeper/secrets /var/log/kafka \
        /var/lib/kafka/data /var/lib/zookeeper/data /var/lib/zookeeper/log
COPY libs /usr/share/java/kafka
COPY kafka-run /usr/bin/kafka-run
RUN ln -s kafka-run /usr/bin/kafka-topics && ln -s kafka-run /usr/bin/kafka-consumer-groups
ARG COMPONENT
ENV COMPONENT=$COMPONENT
USER appuser
CMD ["kafka-run"]
