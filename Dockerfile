# syntax=docker/dockerfile:1
# Built in stages, pinned by the lock files, run as nobody. Health is for the probes: /healthz, /readyz.

FROM node:20-bookworm-slim AS pages
WORKDIR /src/edge/web
COPY edge/web/package.json edge/web/package-lock.json edge/web/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY edge/web ./
RUN npm run build

FROM rust:1-bookworm AS wheel
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/run.lock requirements/
RUN python3 -m venv /opt/edge && /opt/edge/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY edge edge
COPY scaler scaler
COPY --from=pages /src/edge/web/dist edge/web/dist
RUN /opt/edge/bin/maturin build --release --locked --interpreter /opt/edge/bin/python --out /tmp/wheels \
    && /opt/edge/bin/pip install --no-cache-dir --no-deps /tmp/wheels/*.whl \
    && /opt/edge/bin/pip uninstall -y maturin pip

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=wheel /opt/edge /opt/edge
USER 65534:65534
ENV PATH=/opt/edge/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8080/tcp 8189/udp 8189/tcp
ENTRYPOINT ["edge"]
CMD ["serve"]
