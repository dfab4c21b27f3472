# Two images, one for each server: `docker build -t leadtime-adapter:0.1.0 .` is the metrics adapter,
# `docker build -t leadtime-controller:0.1.0 --target controller .` the controller.
#
# The tag says what it is, the digest is what is taken: of the index over all platforms, as public Dockerfiles agree
# on it. Ask the registry for a newer one: `docker buildx imagetools inspect python:3.11-slim-bookworm`.
ARG BASE=python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv --without-pip /opt/leadtime

# Wheels only, each with a hash of the lock file: nothing is built here and nothing unlisted gets in. Bytecode now, for
# the root file system is read-only later; unchecked, for sources in an image do not change.
FROM build AS adapter-build
COPY requirements-adapter.lock ./
RUN python -m pip --python /opt/leadtime/bin/python install --require-hashes --only-binary :all: --no-compile -r requirements-adapter.lock
COPY adapter /opt/leadtime/lib/python3.11/site-packages/adapter
RUN /opt/leadtime/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/leadtime/lib

FROM build AS controller-build
COPY requirements-controller.lock ./
RUN python -m pip --python /opt/leadtime/bin/python install --require-hashes --only-binary :all: --no-compile -r requirements-controller.lock
COPY adapter /opt/leadtime/lib/python3.11/site-packages/adapter
COPY policies /opt/leadtime/lib/python3.11/site-packages/policies
COPY autoscaler /opt/leadtime/lib/python3.11/site-packages/autoscaler
RUN /opt/leadtime/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/leadtime/lib

FROM ${BASE} AS runtime
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY LICENSE /licenses/LICENSE
# PYTHONSAFEPATH: the working folder is no place to import from. HOME: user 65532 is not in /etc/passwd, and the
# Kubernetes client wants a home as soon as it is imported; not every runtime gives such a user one.
ENV PATH=/opt/leadtime/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 HOME=/
USER 65532:65532

FROM runtime AS controller
LABEL org.opencontainers.image.title="leadtime-controller" \
      org.opencontainers.image.description="Predictive autoscaling of LLM inference: replicas and GPU node pools"
COPY --from=controller-build /opt/leadtime /opt/leadtime
EXPOSE 8080
ENTRYPOINT ["python", "-m", "autoscaler"]
CMD ["--help"]

FROM runtime AS adapter
LABEL org.opencontainers.image.title="leadtime-adapter" \
      org.opencontainers.image.description="custom.metrics.k8s.io and external.metrics.k8s.io for LLM inference"
COPY --from=adapter-build /opt/leadtime /opt/leadtime
EXPOSE 6443
ENTRYPOINT ["python", "-m", "adapter"]
CMD ["--help"]
