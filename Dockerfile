# The reverse proxy as a container: no shell is needed, no root, and nothing is written to its file system. Several
# workers share figures and counts in /tmp.
#
#   docker build -t antiscrape .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -p 8080:8080 \
#     -e ANTISCRAPE_UPSTREAM=http://site:8000 \
#     -e ANTISCRAPE_SECRET_FILE=/run/secrets/antiscrape -v ./secret:/run/secrets/antiscrape:ro antiscrape

# The slim one's elder sister: the same Python on the same Debian, and the compiler that the accelerator needs.
FROM python:3.11-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# What builds the wheel, and what runs, are two environments: no build tool ships, and no installer.
COPY locks/build.txt locks/serve.txt locks/
RUN python -m venv /build/tools \
 && /build/tools/bin/pip install --require-hashes --only-binary :all: -r locks/build.txt
RUN python -m venv --without-pip /opt/antiscrape \
 && /build/tools/bin/pip --python /opt/antiscrape/bin/python install \
      --require-hashes --only-binary :all: -r locks/serve.txt

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY antiscrape antiscrape
COPY config/crawlers config/crawlers
RUN /build/tools/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist .
RUN /build/tools/bin/pip --python /opt/antiscrape/bin/python install --no-deps --no-index --compile dist/*.whl \
 && /build/tools/bin/pip --python /opt/antiscrape/bin/python check


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="antiscrape" \
      org.opencontainers.image.description="Keeps photo and social sites open to people and worthless to harvesters" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/antiscrape /opt/antiscrape

# The secret and the site's address are given when it runs; 0.0.0.0 is the container's own network.
ENV PATH=/opt/antiscrape/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ANTISCRAPE_LISTEN=0.0.0.0:8080

# An image without the accelerator would serve, and cost more: it is not built.
RUN antiscrape version && python -c "from antiscrape.asgi import accelerator; assert accelerator.module, accelerator.STATE"

# Numeric, so that an orchestrator can see that it is not root without reading /etc/passwd.
USER 10001:10001

EXPOSE 8080
STOPSIGNAL SIGTERM

# The admin socket is bound to the container's loopback; it answers there and nowhere else.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 9465, timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["antiscrape"]
CMD ["serve"]
