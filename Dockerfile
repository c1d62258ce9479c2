# The worker that answers calls through LiveKit (the default command), the control API (`api --host 0.0.0.0`), and the whole
# command line, such as `docker run --rm --init -v patchbay:/data patchbay demo`.

# 3.13 and not 3.12, for which pocketsphinx has no wheel: nothing is compiled here.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /build \
 && /build/bin/pip install --quiet --require-hashes -r requirements/build.txt
RUN python -m venv --without-pip /opt/patchbay \
 && /build/bin/uv pip install --quiet --no-cache --python /opt/patchbay/bin/python \
      --only-binary :all: --compile-bytecode --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY runtime/ runtime/
COPY worker/ worker/
COPY patchbay/ patchbay/
COPY tools/ tools/
COPY api/ api/
COPY cli/ cli/
COPY supabase/ supabase/
COPY examples/ examples/
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /build/bin/uv pip install --quiet --no-cache --python /opt/patchbay/bin/python \
      --no-deps --compile-bytecode /wheels/patchbay-*.whl

FROM python:${PYTHON}
RUN useradd --create-home --uid 10001 patchbay \
 && install -d -o patchbay -g patchbay -m 0700 /data \
 && install -d -o patchbay -g patchbay /workflows
COPY --from=build /opt/patchbay /opt/patchbay
ENV PATH=/opt/patchbay/bin:$PATH PATCHBAY_HOME=/data PYTHONUNBUFFERED=1
USER patchbay
# Event logs, the key of secrets, and the embedded Postgres where DATABASE_URL is not set. A local disk, not NFS.
VOLUME /data
WORKDIR /workflows
# The worker's own, on loopback, unless PATCHBAY_HTTP_HOST lets probes from outside in; and the API's, which needs a health check
# of its own (compose.yaml).
EXPOSE 8081 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/healthz', timeout=4)"]
ENTRYPOINT ["patchbay"]
CMD ["worker"]
