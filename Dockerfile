# sidegate and sidegate-train as images without a shell, for amd64 and arm64. Targets: `sidegate` (the last, so the
# default; a build of it compiles nothing of the other) and `sidegate-train`.
#   docker build --tag sidegate:0.1.0 .
#   docker build --tag sidegate-train:0.1.0 --target sidegate-train .
# scripts/image.sh builds what is below the line `# --- runtime` around programs that exist already.

# Has certificates, libstdc++ and pip; the same Debian as the compiler's, so the same libc.
ARG BASE=python:3.13-slim-bookworm

# --- build
FROM rust:1.95-bookworm AS dependencies
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# Every target that Cargo.toml names, empty: the layers of dependencies last until Cargo.toml or Cargo.lock changes.
RUN mkdir -p src/train benches && touch src/lib.rs benches/hot_path.rs && \
    for main in src/main.rs src/train/main.rs; do echo 'fn main() {}' >"$main"; done

FROM dependencies AS gateway
RUN cargo build --locked --profile dist --bin sidegate
COPY src src
# What was copied may be older than what was built from the empty files.
RUN touch src/lib.rs src/main.rs && cargo build --locked --profile dist --bin sidegate && \
    install -D target/dist/sidegate /out/sidegate

# Apart, because features are of the whole build: the gateway never carries DataFusion.
FROM dependencies AS train
RUN cargo build --locked --profile dist --features train --bin sidegate-train
COPY src src
RUN touch src/lib.rs src/train/main.rs && cargo build --locked --profile dist --features train --bin sidegate-train && \
    install -D target/dist/sidegate-train /out/sidegate-train

# Libraries by the digests in the scripts, for the machine that the image is for.
FROM ${BASE} AS onnxruntime
ARG TARGETARCH
COPY scripts/onnxruntime.sh /
RUN sh /onnxruntime.sh --arch "${TARGETARCH:-$(uname -m)}" /out

FROM ${BASE} AS learners
ARG TARGETARCH
COPY scripts/learners.sh /
COPY scripts/licenses /licenses
RUN sh /learners.sh --arch "${TARGETARCH:-$(uname -m)}" /out

# --- runtime
FROM ${BASE} AS root
COPY scripts/release/root.sh /
COPY --from=onnxruntime /out/ /image/usr/local/bin/lib/
COPY --from=gateway /out/ /image/usr/local/bin/
RUN sh /root.sh /image

FROM ${BASE} AS root-train
COPY scripts/release/root.sh /
COPY --from=onnxruntime /out/ /image/usr/local/bin/lib/
COPY --from=learners /out/ /image/usr/local/bin/lib/
COPY --from=train /out/ /image/usr/local/bin/
RUN sh /root.sh /image

FROM scratch AS sidegate-train
COPY --from=root-train /image/ /
USER 65532:65532
WORKDIR /var/lib/sidegate-train
ENV PATH=/usr/local/bin
ENTRYPOINT ["/usr/local/bin/sidegate-train"]
CMD ["--help"]

FROM scratch AS sidegate
COPY --from=root /image/ /
USER 65532:65532
WORKDIR /srv
# Where the data port listens; a file and no ENV, which would beat the files of pods and what SageMaker says. The admin port
# stays on loopback, where the health check asks it.
COPY --chmod=644 deploy/image/sidegate.toml config/
ENV PATH=/usr/local/bin
EXPOSE 8000
# SageMaker tells the port by SAGEMAKER_BIND_TO_PORT, and many models by SAGEMAKER_MULTI_MODEL, to images that say they hear it.
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      com.amazonaws.sagemaker.capabilities.multi-models=true
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/local/bin/sidegate", "probe"]
# Commands are sidegate's own: SageMaker starts it as `serve`, Lambda as `lambda`.
ENTRYPOINT ["/usr/local/bin/sidegate"]
CMD ["serve"]
