"""Label yesterday's reviews every morning, by the operator of Airflow's Beam provider.

Airflow has apache-airflow-providers-apache-beam[google]: the operator wants Google's provider on any runner.
Its worker has Tekizai in a virtual environment of its own, because the packages of the two differ.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

TEKIZAI = os.environ.get("TEKIZAI_HOME", "/opt/tekizai")
"""The folder with .venv and the job file."""


class TekizaiOperator(BeamRunPythonPipelineOperator):
    """Runs a job, and tells Airflow what its exit code means."""

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - what the provider's operator returns
        """0: success. 1: failed, which is tried again and goes on where it stopped. 2: failed for good.

        3: done, with too many dead letters: skipped, and so is what would use the labels.
        """
        try:
            return super().execute(context)
        except AirflowException as error:
            code = str(error).rpartition("return code ")[2]
            if code == "2":
                raise AirflowFailException("the job file or its arguments are wrong: see the log") from error
            if code == "3":
                raise AirflowSkipException("too many dead letters: look at dead_letters-* first") from error
            raise


with DAG(
    "tekizai_daily",
    description="Label yesterday's reviews",
    schedule="10 3 * * *",
    start_date=pendulum.datetime(2026, 11, 1, tz="UTC"),
    catchup=False,
    # Each day has an output of its own; one after the other they leave the machine's cores to each other.
    max_active_runs=1,
    default_args={
        "retries": 3,
        # Longer than the lock of a killed run on an object store holds: two minutes.
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=12),
    },
) as dag:
    label = TekizaiOperator(
        task_id="label",
        runner="DirectRunner",
        py_interpreter=f"{TEKIZAI}/.venv/bin/python",
        py_options=["-m"],
        py_file="pipelines.launch",
        pipeline_options={
            "job": f"{TEKIZAI}/daily.yaml",
            # `ds` is the day of the run; a backfill of a day labels the day before it.
            "set": ["DS={{ macros.ds_add(ds, -1) }}"],
        },
    )
