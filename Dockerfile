# syntax=docker/dockerfile:1

# Both programs in one image: `signalbox serve` is the default, `signalbox-proxy` the other.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
# The toolchain is the image's own; rust-toolchain.toml would also fetch the components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist -p control-plane -p proxy \
    && install -D -t /out target/dist/signalbox target/dist/signalbox-proxy

FROM debian:bookworm-slim
RUN groupadd --gid 10001 signalbox \
    && useradd --uid 10001 --gid signalbox --home-dir /var/lib/signalbox --create-home --shell /usr/sbin/nologin signalbox
COPY --from=build /out/ /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/signalbox
# The embedded database of the control plane.
VOLUME /var/lib/signalbox
# Admin API, xDS. Both listen on loopback unless they are told otherwise: docker-compose.yml shows how.
EXPOSE 8080 18000
CMD ["signalbox", "serve", "--data-dir", "/var/lib/signalbox"]
