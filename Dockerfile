# The manager's image: docker build -t registry.example.com/aimctl:0.1.0 .
# 3.11 is the Python that the tests run on; --build-arg PYTHON_VERSION=... takes a newer one.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /src
# The lock is for tests and linters as well. All of it is fetched and checked against its hashes; from these files, and
# with no index to ask, the last step then takes only what the package needs to run.
COPY requirements.lock ./
RUN python -m pip wheel --no-cache-dir --require-hashes --only-binary=:all: --wheel-dir=/wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --no-index --find-links=/wheels --no-deps --wheel-dir=/wheels .
RUN python -m venv --without-pip /opt/aimctl
RUN python -m pip --python=/opt/aimctl/bin/python install --no-cache-dir --no-index --find-links=/wheels aimctl[uvloop]

FROM python:${PYTHON_VERSION}-slim
COPY --from=build /opt/aimctl /opt/aimctl
ENV PATH=/opt/aimctl/bin:$PATH
# By number, so that the kubelet can tell that it is not root; the Deployment runs it as the same one.
USER 65532:65532
ENTRYPOINT ["aimctl"]
