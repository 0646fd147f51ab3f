# One image for all programs: `docker run waybill gateway`, `docker run waybill order-service`, ...

# The manifests alone, with a stand-in for every source file that Cargo looks for: this stage's result, and with it the
# layer of built dependencies below, changes only when a manifest does. (`find` replaces the two braces without a space
# between them wherever they stand.)
FROM rust:1.95-slim-bookworm AS manifests
WORKDIR /build
COPY . .
RUN find . -name '*.rs' -exec sh -c 'case "$1" in */main.rs|*/bin/*.rs|*/build.rs) echo "fn main() { }" ;; *) : ;; esac > "$1"' _ {} \; \
 && find . -type f ! -name '*.rs' ! -name 'Cargo.*' -delete \
 && find . -exec touch --date=@0 {} +

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/*
# npm, from which the gateway's build script fetches the playground's files.
COPY --from=node:22-bookworm-slim /usr/local/bin/node /usr/local/bin/
COPY --from=node:22-bookworm-slim /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /build
COPY --from=manifests /build .
RUN cargo build --release --locked --workspace --bins --exclude testkit --exclude bench
COPY . .
# Cargo tells what changed by time: the stand-ins were newer than what replaces them.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
 && cargo build --release --locked --workspace --bins --exclude testkit --exclude bench \
 && mkdir /programs \
 && for program in waybill gateway order-service customer-service inventory-service migrations; do \
      cp "target/release/$program" /programs/; \
    done

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/waybill --create-home waybill
COPY --from=build /programs/ /usr/local/bin/
USER waybill
WORKDIR /var/lib/waybill
ENV HOST=0.0.0.0 \
    DRAIN_DELAY=5s \
    DATA_DIR=/var/lib/waybill/data
EXPOSE 4000
CMD ["waybill", "up"]
