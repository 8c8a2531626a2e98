# The worker's image as a flex template's too: Dataflow starts it once to make the job, and then as workers.
#   docker build -f docker/flex.Dockerfile --build-arg WORKER=… --build-arg LAUNCHER=… -t …/flex:1 docker
# docs/dataflow.md says how the template is made of it. Nobody has launched it yet.
ARG WORKER=tekizai-worker:1
# Google's launcher for the worker's Python (`python311-template-launcher-base`); its guide to flex templates says where.
ARG LAUNCHER=python311-template-launcher-base:latest
FROM ${LAUNCHER} AS launcher
FROM ${WORKER}
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY flex_main.py /opt/tekizai/
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/tekizai/flex_main.py
