"""What the worker program makes of what a runner tells it; whole runs with it are in test_portable.py."""

from __future__ import annotations

import json

import pytest
from apache_beam.portability.api import beam_provision_api_pb2, endpoints_pb2
from google.protobuf import json_format, struct_pb2

from pipelines.portable_worker import _parser, environment_of, main

HERE = ["--id=w-1", "--provision_endpoint=localhost:1"]


def told(**endpoints: str) -> beam_provision_api_pb2.ProvisionInfo:
    """What a runner says, with the addresses of some of its services."""
    options = json_format.ParseDict({"beam:option:parallelism:v1": "2"}, struct_pb2.Struct())
    return beam_provision_api_pb2.ProvisionInfo(
        pipeline_options=options,
        runner_capabilities=["beam:protocol:control_request_elements_embedding:v1"],
        **{name: endpoints_pb2.ApiServiceDescriptor(url=url) for name, url in endpoints.items()},
    )


def test_what_the_runner_tells_is_what_beam_looks_for() -> None:
    """Flink gives a name and where to ask; all else is in the answer, and a service it lacks is left out."""
    info = told(control_endpoint="localhost:2", logging_endpoint="localhost:3")
    found = environment_of("w-1", info, _parser().parse_args(HERE))

    assert json.loads(found.pop("PIPELINE_OPTIONS")) == {"beam:option:parallelism:v1": "2"}
    assert found == {
        "WORKER_ID": "w-1",
        "RUNNER_CAPABILITIES": "beam:protocol:control_request_elements_embedding:v1",
        "CONTROL_API_SERVICE_DESCRIPTOR": 'url: "localhost:2"\n',
        "LOGGING_API_SERVICE_DESCRIPTOR": 'url: "localhost:3"\n',
    }


def test_arguments_come_before_what_is_told() -> None:
    """A worker pool gives every address, and its runner may not repeat them."""
    given = _parser().parse_args(
        [*HERE, "--control_endpoint=localhost:4", "--logging_endpoint=localhost:5", "--artifact_endpoint=x"]
    )
    found = environment_of("w-1", told(control_endpoint="localhost:2"), given)

    assert found["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "localhost:4"\n'
    assert found["LOGGING_API_SERVICE_DESCRIPTOR"] == 'url: "localhost:5"\n'


def test_started_by_hand_it_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody but a runner can give what it needs."""
    with pytest.raises(SystemExit):
        main([])

    assert "the following arguments are required: --id, --provision_endpoint" in capsys.readouterr().err
