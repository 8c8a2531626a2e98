"""Which stage of a job a module belongs to, to say where its time goes."""

from __future__ import annotations

from transforms.stack_samples import Stages

_MODULES = {
    "index": ("transforms.index_records",),
    "read": (
        "transforms.read_records",
        "transforms.read_jsonl",
        "transforms.read_parquet",
        "transforms.read_copies",
        "transforms.reading",
        "transforms.arrow_rows",
        "transforms.payload",
        "transforms.lines",
        "transforms.splits",
        "router.validation",
    ),
    "route": ("transforms.route_records", "router.rules", "router.language", "router.findings"),
    "ask": ("transforms.slm_handler", "transforms.ask_pilot", "transforms.bench_model"),
    "journal": (
        "transforms.journal",
        "transforms.journal_files",
        "transforms.journal_index",
        "transforms.journal_scan",
        "router.journal",
    ),
    "calibrate": ("transforms.calibrate_labels", "router.bias"),
    "decide": ("transforms.decide_records", "router.decide", "router.calibration", "router.confidence"),
    "write": (
        "transforms.write_output",
        "transforms.output_rows",
        "transforms.output_tables",
        "transforms.annotation_rows",
        "router.summary",
        "router.review",
        "router.rows",
    ),
    "finish": ("transforms.finish_job", "transforms.write_report", "transforms.write_review"),
    "prepare": ("pipelines.prepare", "pipelines.open_models"),
    "beam": ("apache_beam",),
}
STAGES = Stages(
    # A module that is not here (records, keys, texts) belongs to the stage that calls it.
    {module: stage for stage, modules in _MODULES.items() for module in modules},
    # The first pass over the input reads lines too.
    whole=frozenset({"index", "finish", "prepare"}),
    waiting=frozenset({"pipelines.local_worker"}),
)
