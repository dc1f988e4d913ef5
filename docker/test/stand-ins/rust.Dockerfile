# Stands in for rust:1.95-bookworm: the libraries of buildpack-deps that a build could pick up, and the
# toolchain of the machine this runs on (the build context: its sysroot and, if there is one, its cargo configuration).
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates g++ gcc libc6-dev libcurl4-openssl-dev libssl-dev make patch perl pkg-config python3 zlib1g-dev zstd libzstd-dev \
    && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY toolchain /usr/local/
COPY cargo /usr/local/cargo
# Whoever signs for the network this machine is in.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
