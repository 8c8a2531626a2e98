"""A worker process for runners that start one by a command: `--environment_type=PROCESS`, or a worker pool.

`tekizai-worker --id=ID --provision_endpoint=HOST:PORT` (or `python -m pipelines.portable_worker`); Flink's
task managers, Prism and Beam's worker pool start it with these arguments. Beam ships such a program in its
container images only. It installs nothing: Tekizai and what models need must be there already.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
from google.protobuf import json_format, text_format

from pipelines.local_worker import end_with
from pipelines.stopping import keep_answers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_ASK_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until the runner says that it is over, or is gone."""
    given = _parser().parse_args(arguments)
    # A task manager that was killed leaves its workers behind, which would go on asking while others repeat
    # their records.
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGTERM, _end)
    # Some runners put the name in quotes.
    worker = given.id.strip("'\"")
    os.environ.update(environment_of(worker, _provisioned(worker, given.provision_endpoint), given))
    # A root logger that has a handler gets no other from Beam; the runner gets what is logged.
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker_main  # noqa: PLC0415 - complains in the log otherwise

    try:
        sdk_worker_main.main(sys.argv[:1])
    finally:
        # Also where the runner is gone while a bundle is under way, in threads that end with this process.
        keep_answers()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tekizai-worker", description=__doc__, allow_abbrev=False)
    parser.add_argument("--id", required=True, help="the worker's name, which the runner made up")
    parser.add_argument("--provision_endpoint", required=True, help="where the runner tells the rest")
    for name in ("control", "logging", "artifact", "status"):
        parser.add_argument(f"--{name}_endpoint", help="given by some runners, told by others")
    return parser


def _provisioned(worker: str, address: str) -> beam_provision_api_pb2.ProvisionInfo:
    """What the runner tells a worker of this name."""
    with grpc.insecure_channel(address) as channel:
        asked = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel).GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            timeout=_ASK_SECONDS,
            wait_for_ready=True,
            metadata=(("worker_id", worker),),
        )
    info: beam_provision_api_pb2.ProvisionInfo = asked.info
    return info


def environment_of(
    worker: str, info: beam_provision_api_pb2.ProvisionInfo, given: argparse.Namespace
) -> dict[str, str]:
    """The variables by which Beam's worker is told what it needs; arguments come before what was told."""
    found = {
        "WORKER_ID": worker,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    for name in ("control", "logging", "status"):
        url = getattr(given, f"{name}_endpoint") or getattr(info, f"{name}_endpoint").url
        if url:
            descriptor = endpoints_pb2.ApiServiceDescriptor(url=url)
            found[f"{name.upper()}_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(descriptor)
    return found


def _end(number: int, _: FrameType | None) -> NoReturn:
    """Keep what was answered, and go: the runner has no use for this process any more."""
    keep_answers()
    os._exit(128 + number)


if __name__ == "__main__":
    main()
