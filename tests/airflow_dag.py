"""Runs where Airflow is: loads the example DAG, runs its task with a stub for Tekizai, and prints JSON.

`python airflow_dag.py FOLDER_OF_DAGS STUB`, with a database that Airflow may make.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest import mock

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.execution_time import macros


def outcome(task: Any, code: int) -> str:
    """How Airflow takes it when Tekizai ends with an exit code."""
    task.py_interpreter = sys.argv[2]
    with mock.patch.dict("os.environ", {"STUB_CODE": str(code)}):
        try:
            task.execute({})
        except Exception as error:  # noqa: BLE001 - which one is the question
            return type(error).__name__
    return "success"


def main() -> None:
    """Print what the tests look at."""
    bag = DagBag(dag_folder=sys.argv[1])
    dag = bag.dags["tekizai_daily"]
    task = dag.get_task("label")
    task.pipeline_options["set"] = [
        dag.get_template_env().from_string(one).render(ds="2026-11-26", macros=macros)
        for one in task.pipeline_options["set"]
    ]
    found = {
        "errors": bag.import_errors,
        "tasks": dag.task_ids,
        "bases": [base.__name__ for base in type(task).__mro__],
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "retries": task.retries,
        "retry_seconds": task.retry_delay.total_seconds(),
        "outcomes": {code: outcome(task, code) for code in (0, 1, 2, 3)},
    }
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
