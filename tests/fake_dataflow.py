"""A Dataflow service on the loopback address: takes a job, runs its pipeline here, and tells how it went.

Beam's client reaches it by `--dataflow_endpoint` and `--no_auth`; what is staged goes to a folder.
"""

from __future__ import annotations

import http.server
import json
import pathlib
import threading
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner


def run_here(pipeline: beam_runner_api_pb2.Pipeline) -> None:
    """Run a translated pipeline in this process, in the place of its containers."""
    for one in pipeline.components.environments.values():
        one.urn, one.payload = python_urns.EMBEDDED_PYTHON, b""
        del one.dependencies[:]
    fn_runner.FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([]))


class FakeDataflow:
    """The service. `state` is what its jobs are in; None: each is run before it is answered."""

    def __init__(self, state: str | None = None) -> None:
        """Begin to serve."""
        self.state = state
        self.jobs: list[dict[str, Any]] = []
        """What was submitted."""
        self.ends: dict[str, str] = {}
        """States of jobs that were run, by id."""
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(service.create(body))

            def do_GET(self) -> None:
                part = self.path.partition("?")[0].rpartition("/")[2]
                self._answer({} if part in ("messages", "metrics") else service.show(part))

            def _answer(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """What `--dataflow_endpoint` must say; Beam uses HTTP where the host is localhost."""
        return f"http://localhost:{self._server.server_address[1]}"

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        """Take a job."""
        self.jobs.append(job)
        name = f"id-{len(self.jobs)}"
        if self.state is None:
            staged = pathlib.Path(job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"])
            try:
                run_here(beam_runner_api_pb2.Pipeline.FromString(staged.read_bytes()))
                self.ends[name] = "JOB_STATE_DONE"
            except Exception:  # noqa: BLE001 - as a service that outlives its jobs
                self.ends[name] = "JOB_STATE_FAILED"
        return {**self.show(name), "clientRequestId": job["clientRequestId"]}

    def show(self, job: str) -> dict[str, Any]:
        """What is known of a job."""
        return {"id": job, "currentState": self.state or self.ends[job]}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
