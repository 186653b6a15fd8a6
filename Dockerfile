# Flagon: supervisord, nginx and gunicorn around any WSGI application.
#   build    compilers and tools; nothing of it but two folders goes on
#   system   Debian's packages and the user
#   bom      what the image is made of, written down (CycloneDX); nothing of it but three files goes on
#   starter  the starter's packages, without their debugging symbols; nothing of it but one folder goes on
#   full     runtime + compiler, git and headers, for Dockerfiles that need them
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
# touch: bytecode holds its source's date, so one date for all makes two builds equal (docs/supply-chain.md).
RUN python3 -m venv /opt/flagon/venv \
    && /opt/flagon/venv/bin/pip install --no-compile --require-hashes -r /build/app.txt \
    && /opt/flagon/venv/bin/pip install --no-compile --require-hashes --no-deps --target /opt/flagon/lib -r /build/runtime.txt \
    && rm -rf /opt/flagon/lib/bin /opt/flagon/lib/supervisor/tests /opt/flagon/lib/supervisor/scripts \
    && find /opt/flagon -name __pycache__ -prune -exec rm -rf {} + \
    && find /opt/flagon -exec touch --no-dereference --date=@0 {} + \
    && python3 -m compileall -q -x /pip/ /opt/flagon/venv/lib

FROM build AS starter
COPY requirements/starter.txt /build/
# Wheels bring symbols that only a debugger reads: two thirds of what SQLAlchemy's and greenlet's extensions weigh.
# Not psycopg's libraries: nothing is left to strip there (2 kB).
RUN /opt/flagon/venv/bin/pip install --no-compile --require-hashes --prefix /starter -r /build/starter.txt \
    && find /starter -path '*/psycopg_binary*' -prune -o -name '*.so' -exec strip --strip-unneeded {} + \
    && find /starter -exec touch --no-dereference --date=@0 {} + \
    && python3 -m compileall -q -s /starter -p /opt/flagon/venv /starter/lib

FROM ${BASE_IMAGE} AS system
ENV LANG=C.UTF-8 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/flagon/bin:/opt/flagon/venv/bin:$PATH
# As the official Python images say it, which is what a python:3.x base has said already; else Debian's.
ARG DEBIAN_PYTHON=3.13.5
ENV PYTHON_VERSION=${PYTHON_VERSION:-$DEBIAN_PYTHON}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends adduser ca-certificates curl libnginx-mod-http-brotli-static nginx tzdata \
    # The links: an environment that was made on a python:3.x image of this version leads to /usr/local/bin.
    && if ! command -v python3 >/dev/null; then \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
        && for name in python python3 "$(readlink /usr/bin/python3)"; do ln -s "$(readlink -f /usr/bin/python3)" "/usr/local/bin/$name"; done; fi \
    && useradd --uid 10001 --gid 0 --no-create-home --home-dir /app --shell /usr/sbin/nologin --no-log-init flagon \
    && mkdir -p /app /data /run/flagon /opt/flagon \
    # /data: any uid with gid 0 may use it, which is what OpenShift starts a container with; the run directory is its owner's.
    && chown 10001:0 /data /run/flagon && chmod 770 /data && chmod 700 /run/flagon \
    && ln -s "$(readlink -f "$(command -v python3)")" /opt/flagon/python \
    && ln -s /opt/flagon/entrypoint.sh /usr/local/bin/flagon \
    # The names that Dockerfiles and nginx files for the older images know (docs/migrate.md): `nginx` is the user that the
    # box runs as, so that what is chowned to it can be written; uwsgi_params passes on the Host as it came, with its port.
    && groupadd --system nginx \
    && useradd --non-unique --uid 10001 --gid nginx --no-create-home --home-dir /app --shell /usr/sbin/nologin --no-log-init nginx \
    && sed -i '/HTTP_HOST/d' /etc/nginx/uwsgi_params \
    && mkdir -p /docker-entrypoint.d /etc/supervisor/conf.d \
    && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache \
        /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/nginx/sites-enabled/default /var/www/html \
    && mkdir /var/log/nginx && ln -s /dev/stdout /var/log/nginx/access.log && ln -s /dev/stderr /var/log/nginx/error.log

FROM build AS bom
ARG CREATED=1970-01-01T00:00:00Z
COPY requirements/sbom.txt requirements/starter.txt /build/
# Debian's own python3: the tools want 3.11, and a python:3.x base may bring less.
RUN if [ ! -x /usr/bin/python3 ] || ! /usr/bin/python3 -c 'import ensurepip'; then \
        apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/*; fi \
    && /usr/bin/python3 -m venv /opt/bom \
    && /opt/bom/bin/pip install --require-hashes -r /build/sbom.txt
COPY --from=system /var/lib/dpkg /system/var/lib/dpkg
COPY --from=system /usr/share/doc /system/usr/share/doc
# One name and one date for each document: the same commit gives the same files.
RUN mkdir -p /bom/runtime /bom/starter \
    && /opt/bom/bin/cyclonedx-py environment --output-reproducible -o /bom/runtime/application.cdx.json /opt/flagon/venv/bin/python \
    && /opt/bom/bin/cyclonedx-py requirements --output-reproducible -o /bom/runtime/runtime.cdx.json /build/runtime.txt \
    && /opt/bom/bin/cyclonedx-py requirements --output-reproducible -o /bom/starter/starter.cdx.json /build/starter.txt \
    && /opt/bom/bin/debsbom generate --sbom-type cdx --with-licenses --root /system --distro-name debian \
        --cdx-serialnumber 2a7b3c1e-7d31-4f6a-9a54-0f1a60000001 --timestamp "$CREATED" --out /bom/runtime/debian

FROM system AS runtime
COPY --from=build /opt/flagon /opt/flagon
COPY --from=bom /bom/runtime /opt/flagon/sbom
COPY entrypoint.sh image/ensurepip image/healthcheck nginx.conf supervisord.conf /opt/flagon/
# Files, not links: a Dockerfile may put its own in their place.
COPY entrypoint.sh image/start.sh image/start-reload.sh /
COPY image/supervisord /usr/bin/supervisord
COPY image/stand-in /opt/flagon/bin/gunicorn
COPY image/mkdir /opt/flagon/bin/mkdir
COPY image/supervisorctl /usr/bin/supervisorctl
COPY image/adduser /usr/local/sbin/adduser
COPY image/adduser /usr/local/sbin/addgroup
COPY image/profile.sh /etc/profile.d/flagon.sh
COPY image/useradd /usr/local/sbin/useradd
COPY image/starter /opt/flagon/starter-files
COPY flagon /opt/flagon/code/flagon
RUN python3 /opt/flagon/code/flagon/imaging.py \
    && ln -s gunicorn /opt/flagon/bin/flask && ln -s gunicorn /opt/flagon/bin/uwsgi
WORKDIR /app
EXPOSE 8080 80
ENTRYPOINT ["/opt/flagon/entrypoint.sh"]
CMD ["serve"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["/opt/flagon/healthcheck"]
ARG VERSION=0 REVISION=unknown CREATED=unknown
LABEL org.opencontainers.image.title="flagon" \
    org.opencontainers.image.description="supervisord, nginx and gunicorn around any WSGI application" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"

# For Dockerfiles that compile, or clone: docker build --target full
FROM runtime AS full
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends build-essential git pkg-config wget unzip \
        libffi-dev libssl-dev libpq-dev default-libmysqlclient-dev libxml2-dev libxslt1-dev libjpeg-dev zlib1g-dev \
    && if [ "$(readlink -f /opt/flagon/python)" = "$(readlink -f /usr/bin/python3)" ]; then \
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-dev; fi \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache

FROM runtime AS app
COPY --from=bom /bom/starter/starter.cdx.json /opt/flagon/sbom/starter.cdx.json
COPY requirements/starter.txt /opt/flagon/starter/requirements.txt
COPY --from=starter /starter /opt/flagon/venv
COPY app /opt/flagon/starter/app
RUN find /opt/flagon/starter -exec touch --no-dereference --date=@0 {} + \
    && python3 -m compileall -q -j 0 /opt/flagon/starter \
    && python3 /opt/flagon/code/flagon/imaging.py packages \
    && flagon static build
USER 10001:0
