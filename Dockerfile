# The image of both programs: Python with nothing around it, the locked dependencies, and certlag.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) --tag certlag .
#
# The frontend is the one that is built into BuildKit. Every command is in exec form: no stage needs a shell. Only the
# stage `download` uses the network; where there is none, bring a folder of wheels: --build-context wheels=FOLDER.

# The only base. Another one is an argument away, and `--build-context python=…` takes its place altogether.
ARG PYTHON_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS python


FROM python AS download
COPY image/build.lock image/requirements.lock /locks/
RUN ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", \
     "--requirement=/locks/requirements.lock", "--requirement=/locks/build.lock", "--dest=/wheels"]


FROM scratch AS wheels
COPY --from=download /wheels /


# What is installed is checked against the lock, wherever the wheels are from.
FROM python AS dependencies
ENV PYTHONHASHSEED=0
COPY image/requirements.lock /
RUN --network=none --mount=type=bind,from=wheels,target=/wheels \
    ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--find-links=/wheels", \
     "--require-hashes", "--requirement=/requirements.lock", "--no-compile", "--target=/installed"]
# kubernetes.aio is half of the Kubernetes client, and never imported.
RUN --network=none ["python3", "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", \
     "-x", "/kubernetes/aio/", "-s", "/installed", "-p", "/opt/certlag/dependencies", "/installed"]


FROM python AS application
ENV PYTHONHASHSEED=0
COPY pyproject.toml README.md LICENSE /source/
COPY certlag /source/certlag
COPY exporter /source/exporter
COPY runbook /source/runbook
COPY rehearsal /source/rehearsal
COPY image/build.lock /
RUN --network=none --mount=type=bind,from=wheels,target=/wheels \
    ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--find-links=/wheels", \
     "--require-hashes", "--requirement=/build.lock", "--target=/build"]
ENV PYTHONPATH=/build
RUN --network=none ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", \
     "--no-compile", "--target=/installed", "/source"]
RUN --network=none ["python3", "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", \
     "-s", "/installed", "-p", "/opt/certlag/application", "/installed"]


# Python, and the libraries that it and the dependencies are linked to.
FROM python AS root
COPY image/root.py /
RUN --network=none --mount=type=bind,from=dependencies,source=/installed,target=/dependencies \
    ["python3", "/root.py", "/image", "/dependencies"]


# What changes least is lowest: a new version of certlag is a new last layer.
FROM scratch AS image
COPY --from=root /image /
COPY --from=dependencies /installed /opt/certlag/dependencies
COPY --from=application /installed /opt/certlag/application

ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="certlag" \
      org.opencontainers.image.description="Which certificates were renewed and never loaded by who serves them" \
      org.opencontainers.image.url="https://certlag.dev" \
      org.opencontainers.image.documentation="https://certlag.dev/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/certlag/application/bin:/usr/local/bin \
    PYTHONPATH=/opt/certlag/application:/opt/certlag/dependencies \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    CERTLAG_REVISION=${REVISION}
USER 65532:65532
EXPOSE 9871
ENTRYPOINT ["certlag-exporter"]
