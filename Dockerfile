# The service in a container: `docker build -t scraper-workers .`, then `docker compose up`.
# The base's tag is pinned here; pin its digest as well where your registry gives you one.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements.txt ./
# Each package with the hash that requirements.txt names, as a wheel wherever there is one.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --prefer-binary -r requirements.txt
COPY scrapy.cfg ./
COPY scraper ./scraper
COPY supervisor ./supervisor
RUN /venv/bin/python -m compileall -q /venv/lib scraper supervisor

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="scraper-workers" \
      org.opencontainers.image.description="Scraping jobs on Scrapy and Redis: supervisor, workers, HTTP API" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.documentation="docs/deployment.md"
# tini reaps what workers leave behind and passes signals on; the supervisor drains on SIGTERM.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini=0.19.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin scraper \
    && install -d -o scraper -g scraper -m 0700 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# The root file system may be read-only. Written to: /tmp (name locks, sockets) and, only without
# REDIS_URL, /data (the embedded server). A Redis that is not there yet is waited for.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    REDIS_WAIT=3600
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# Give it 45 s to stop (`docker stop -t 45`): the drain takes up to 25 s.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-m", "supervisor", "health"]
ENTRYPOINT ["tini", "--", "python", "-m", "supervisor"]
CMD ["run"]
