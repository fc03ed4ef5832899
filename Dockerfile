# sidegate and sidegate-train as images without a shell. Targets: `sidegate` (the last, so the default), `sidegate-train`.
#   docker build --tag sidegate:0.1.0 .
#   docker build --tag sidegate-train:0.1.0 --target sidegate-train .
# scripts/image.sh builds what is below the line `# --- runtime` around programs that exist already.

# Has certificates, libstdc++ and pip; the same Debian as the compiler's, so the same libc.
ARG BASE=python:3.13-slim-bookworm

# --- build
FROM rust:1.95-bookworm AS dependencies
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# Every target that Cargo.toml names, empty: this layer holds the dependencies, and lasts until Cargo.lock changes.
RUN mkdir -p src/train benches && touch src/lib.rs benches/hot_path.rs && \
    echo 'fn main() {}' | tee src/main.rs src/train/main.rs >/dev/null

FROM dependencies AS gateway-build
RUN cargo build --locked --profile dist --bin sidegate
COPY . .
# What was copied may be older than what was built from the empty files.
RUN touch src/lib.rs src/main.rs && cargo build --locked --profile dist --bin sidegate

# Apart, because features are of the whole build: the gateway never carries DataFusion.
FROM dependencies AS train-build
RUN cargo build --locked --profile dist --features train --bin sidegate-train
COPY . .
RUN touch src/lib.rs src/train/main.rs && cargo build --locked --profile dist --features train --bin sidegate-train

FROM scratch AS programs
COPY --from=gateway-build /src/target/dist/sidegate /out/
COPY --from=train-build /src/target/dist/sidegate-train /out/

# By the digests in the script.
FROM ${BASE} AS onnxruntime
COPY scripts/onnxruntime.sh /
RUN sh /onnxruntime.sh /out/lib

# --- runtime
FROM ${BASE} AS root
COPY scripts/release/root.sh /
COPY --from=onnxruntime /out/lib/ /root-of-image/usr/local/bin/lib/
COPY --from=programs /out/sidegate /root-of-image/usr/local/bin/
RUN sh /root.sh /root-of-image

FROM ${BASE} AS root-train
COPY scripts/release/root.sh /
COPY --from=onnxruntime /out/lib/ /root-of-image/usr/local/bin/lib/
COPY --from=programs /out/sidegate-train /root-of-image/usr/local/bin/
RUN sh /root.sh /root-of-image

FROM scratch AS sidegate-train
COPY --from=root-train /root-of-image/ /
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/sidegate-train"]

FROM scratch AS sidegate
COPY --from=root /root-of-image/ /
USER 65532:65532
WORKDIR /srv
# Data port; the admin port stays on loopback, where the health check asks it.
ENV SIDEGATE_HTTP__LISTEN=0.0.0.0:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/local/bin/sidegate", "probe"]
ENTRYPOINT ["/usr/local/bin/sidegate"]
CMD ["serve"]
