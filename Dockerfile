# Flagon: supervisord, nginx and gunicorn around any WSGI application.
#   build    compilers and tools; nothing of it but two folders goes on
#   runtime  what your image builds FROM: no USER, so RUN pip install and RUN apt-get install work; /app is empty
#   app      runtime + the starter application (default)
# Works with BuildKit, the classic builder and buildah: no RUN --mount, no COPY --chmod, no heredocs.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
ENV LANG=C.UTF-8 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive
# A python:3.x base brings its own python3; Debian's is installed only where there is none.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev \
    && if ! command -v python3 >/dev/null; then apt-get install -y --no-install-recommends python3-dev python3-venv; fi \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/runtime.txt requirements/app.txt /build/
# Two interpreters' worlds: the runtime's library is a bare folder, the application's is a venv with pip.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes -r /build/app.txt \
    && /opt/venv/bin/pip install --require-hashes --no-deps --target /opt/flagon/lib -r /build/runtime.txt \
    && find /opt/venv -path '*/pip/*' -name __pycache__ -prune -exec rm -rf {} + \
    && rm -rf /opt/flagon/lib/bin /opt/flagon/lib/supervisor/tests /opt/flagon/lib/supervisor/scripts

FROM ${BASE_IMAGE} AS runtime
ENV LANG=C.UTF-8 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates curl nginx tzdata \
    && if ! command -v python3 >/dev/null; then \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3; fi \
    && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old /etc/nginx/sites-enabled/default /var/www/html \
    && useradd --uid 10001 --gid 0 --no-create-home --home-dir /app --shell /usr/sbin/nologin --no-log-init flagon \
    && mkdir -p /app /data /run/flagon /opt/flagon \
    && chown 10001:0 /data /run/flagon && chmod 770 /data /run/flagon \
    && ln -s "$(command -v python3)" /opt/flagon/python \
    && ln -s /opt/flagon/entrypoint.sh /usr/local/bin/flagon
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/flagon/lib /opt/flagon/lib
COPY entrypoint.sh healthcheck.sh nginx.conf supervisord.conf /opt/flagon/
COPY flagon /opt/flagon/code/flagon
RUN python3 /opt/flagon/code/flagon/imaging.py
WORKDIR /app
EXPOSE 8080
ENTRYPOINT ["/opt/flagon/entrypoint.sh"]
CMD ["serve"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["/opt/flagon/healthcheck.sh"]
ARG VERSION=0 REVISION=unknown CREATED=unknown
LABEL org.opencontainers.image.title="flagon" \
    org.opencontainers.image.description="supervisord, nginx and gunicorn around any WSGI application" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"

FROM runtime AS app
COPY requirements/starter.txt /opt/flagon/starter/requirements.txt
# -B: pip's own bytecode is of no use in the image.
RUN /opt/venv/bin/python -B -m pip install --require-hashes -r /opt/flagon/starter/requirements.txt
COPY app /opt/flagon/starter/app
RUN python3 -m compileall -q -j 0 /opt/flagon/starter
USER 10001:0
