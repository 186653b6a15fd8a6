# The peers beside what flagon:latest already has: the same nginx, the same Python, the same Flask and gunicorn.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
ARG UWSGI_VERSION=2.0.31
RUN python3 -m venv /opt/uwsgi \
    && /opt/uwsgi/bin/pip install --no-cache-dir uwsgi==${UWSGI_VERSION} \
    && ldd /opt/uwsgi/bin/uwsgi

# hadolint ignore=DL3007
FROM flagon:latest
# hadolint ignore=DL3002
USER 0
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libpython3.13 libxml2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/uwsgi/bin/uwsgi /usr/local/bin/uwsgi
RUN /opt/flagon/venv/bin/pip install --no-cache-dir granian==2.8.9 waitress==3.0.2
ENTRYPOINT []
