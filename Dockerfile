# The manager's image: docker build -t registry.example.com/aimctl:0.1.0 .
# The tests run on Python 3.11; --build-arg PYTHON_VERSION=... selects a newer version.
# For builds that can be repeated, give the base by its digest: --build-arg BASE=python@sha256:...
ARG PYTHON_VERSION=3.11
ARG BASE=python:${PYTHON_VERSION}-slim

FROM ${BASE} AS build
WORKDIR /src
# The lock file also contains packages for tests and linters. All of them are fetched and checked against their hashes.
# The last step then installs only what the package needs to run, from these files and without an index.
COPY requirements.lock ./
RUN python -m pip wheel --no-cache-dir --require-hashes --only-binary=:all: --wheel-dir=/wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --no-index --find-links=/wheels --no-deps --wheel-dir=/wheels .
RUN python -m venv --without-pip /opt/aimctl
RUN python -m pip --python=/opt/aimctl/bin/python install --no-cache-dir --no-compile --no-index --find-links=/wheels aimctl[uvloop]
# The file system of the pod is read-only, so modules are compiled here. The manager does not import kubernetes_asyncio,
# whose compiled modules would add 22 MB.
# The software bill of materials is written by a tool in an environment of its own.
COPY requirements-sbom.lock ./
RUN python -m venv --without-pip /opt/sbom \
    && python -m pip --python=/opt/sbom/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r requirements-sbom.lock
RUN mkdir -p /opt/aimctl/share/sbom \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-format=JSON \
       --output-file=/opt/aimctl/share/sbom/aimctl.cdx.json /opt/aimctl/bin/python
RUN /opt/aimctl/bin/python -m compileall -q -x /kubernetes_asyncio/ /opt/aimctl/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="aimctl" \
      org.opencontainers.image.description="The manager of the AIM operator, and the aimctl command" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /opt/aimctl /opt/aimctl
ENV PATH=/opt/aimctl/bin:$PATH
# A number, so that the kubelet can verify that it is not root. The Deployment uses the same number.
USER 65532:65532
ENTRYPOINT ["aimctl"]
