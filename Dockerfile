# facedex serve, as a user without rights, from a wheel that is built here.
# Build: docker build -t facedex .        Run with PostgreSQL: see compose.yaml

FROM rust:1.89-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN python3 -m venv /venv \
    && /venv/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="facedex" \
      org.opencontainers.image.description="Face recognition server" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT AND CC0-1.0"
COPY --from=build /wheels /wheels
# hadolint ignore=DL3013
RUN wheel="$(echo /wheels/facedex-*.whl)" \
    && pip install --no-cache-dir "${wheel}[server,postgres,crypto,heif]" \
    && rm -rf /wheels \
    && useradd --system --create-home --home-dir /data --uid 10001 facedex
USER 10001
WORKDIR /data
ENV FACEDEX_HOME=/data \
    FACEDEX_HOST=0.0.0.0 \
    FACEDEX_PORT=8000 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v1/health/live', timeout=4)"]
# Other machines reach it, so it starts only when a key or an account exists:
#   docker run --rm -v facedex:/data facedex keys add front-desk --scope read --scope recognise
ENTRYPOINT ["facedex"]
CMD ["serve"]
