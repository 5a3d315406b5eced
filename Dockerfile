# CPU:  docker build -t surefoot .
# CUDA: docker build -t surefoot:cuda --build-arg ACCELERATOR=cuda .
#       mkdir -p runs
#       docker run --gpus all --user "$(id -u):$(id -g)" -e HOME=/tmp -v "$PWD/runs:/work/runs" surefoot:cuda train dog-run
# The wheels of JAX contain the CUDA libraries, so both images have the same base; the host provides the driver.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libosmesa6 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home surefoot && install -d -o surefoot /work/runs
COPY --from=ghcr.io/astral-sh/uv:0.13.9 /uv /usr/local/bin/uv
ENV UV_PYTHON=/usr/local/bin/python UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy

# For .devcontainer: tools only, the sources are mounted.
FROM base AS development
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium chromium-driver git make openssh-client \
    && rm -rf /var/lib/apt/lists/*
USER surefoot

FROM base AS build
ARG EXTRAS="dmc myosuite mujoco export minari ray report tensorboard video wandb"
ARG ACCELERATOR=""
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project $(printf ' --extra %s' $EXTRAS $ACCELERATOR)
COPY README.md LICENSE ./
COPY src ./src
RUN uv sync --frozen --no-dev --no-editable $(printf ' --extra %s' $EXTRAS $ACCELERATOR)

FROM base AS runtime
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH
USER surefoot
WORKDIR /work
ENTRYPOINT ["surefoot"]
CMD ["--help"]
