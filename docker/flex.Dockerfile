# The worker's image as a flex template's too: Dataflow starts it once to make the job, and then as workers.
#   docker build -f docker/flex.Dockerfile --build-arg WORKER=…/worker:1 -t …/flex:1 docker
# docs/dataflow.md says how the template is made of it. Nobody has launched it yet.
ARG WORKER=tekizai-worker:1
ARG LAUNCHER=gcr.io/dataflow-templates-base/python311-template-launcher-base:flex_templates_base_image_release_20240628_RC00
FROM ${LAUNCHER} AS launcher
FROM ${WORKER}
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY flex_main.py /opt/tekizai/
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/tekizai/flex_main.py
