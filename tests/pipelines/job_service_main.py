"""Beam's job service in Python with as many workers as it is told: its own command always has one.

python -m tests.pipelines.job_service_main PORT FOLDER WORKERS
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import FnApiRunner


def main(port: int, folder: str, workers: int) -> None:
    """Serve until the process is ended."""

    class Job(local_job_service.BeamJob):  # type: ignore[misc]  # Beam does not type it
        def _invoke_runner(self) -> Any:
            self.set_state(beam_job_api_pb2.JobState.RUNNING)
            runner = FnApiRunner(provision_info=self._provision_info)
            runner._num_workers = workers
            return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())

    local_job_service.LocalJobServicer(folder, beam_job_type=Job).start_grpc_server(port)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
