# One worker, or any other command of `offertide`; docker-compose.yml runs two workers.
#   docker build --tag offertide .
#   docker run --network host --env API_KEY_PEPPER --volume offertide-state:/var/lib/offertide offertide
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/offertide \
 && /opt/offertide/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/offertide --create-home offertide \
 && install --directory --owner offertide --mode 0700 /keys
COPY --from=build /opt/offertide /opt/offertide
ENV PATH=/opt/offertide/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OFFERTIDE_DATA_DIR=/var/lib/offertide \
    OFFERTIDE_LOG_FORMAT=json
USER offertide
WORKDIR /var/lib/offertide
VOLUME /var/lib/offertide
EXPOSE 8080
# Alive, not ready: a worker that recovers its partitions must not be killed for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + (os.environ.get('OFFERTIDE_WEB_PORT') or '8080') + '/health', timeout=2)"]
# The exec form makes the worker process 1: it gets SIGTERM and leaves its group cleanly.
STOPSIGNAL SIGTERM
ENTRYPOINT ["offertide"]
CMD ["worker"]
