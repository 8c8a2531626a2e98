"""What the commands do, apart from reading their arguments."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.batch_watch import batches_under_way, watching
from pipelines.console import ProgressLine, say
from pipelines.dataflow import budget_sharers, check_dataflow, is_dry_run, is_template, settle_dataflow
from pipelines.errors import DONE, FAILED, JobFailedError, OutputError
from pipelines.judge_money import told_of_judge_money
from pipelines.output_folder import claim_output, clear_failed
from pipelines.output_lock import output_lock
from pipelines.packs import told_packs
from pipelines.parallelism import settle_workers
from pipelines.prepare import prepare, start
from pipelines.references import told_of_sources
from pipelines.remote_job import check_over, describe, noted_job
from pipelines.runner import is_dataflow, is_local, local_workers, options_of, run_plan, sharers
from pipelines.show_run import read_summary, show_run
from pipelines.stopping import ending_at_once
from pipelines.stored_plan import stored_plan
from router.rules import sorts_tasks
from transforms.budget_ledger import LedgerError
from transforms.progress import clear_progress
from transforms.splits import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from apache_beam.options.pipeline_options import PipelineOptions
    from rich.console import Console

    from pipelines.annotate import Plan
    from pipelines.compare import CompareOptions
    from pipelines.output_folder import Claim
    from pipelines.output_lock import OutputLock
    from router.job import Job


def run_job(
    job: Job, beam_options: Sequence[str], *, limit: int | None, fresh: bool, console: Console
) -> int:
    """Run a job to its end and show what came out; returns the exit code (0, or 3: too many dead letters).

    What an earlier run of the job has answered is taken over. Raises `JobFailedError` where the job began and
    could not end, and what `prepare` and `claim_output` raise before it begins.
    """
    options = _options(beam_options, job, limit, console, may_be_dry=True)
    plan = _prepared(job, options, limit, console)
    if is_dry_run(options):
        # Google's clients take a second to load.
        from pipelines.dataflow_request import show_request  # noqa: PLC0415 - see above

        show_request(plan, options, lambda line: say(console, line))
        return DONE
    output = plan.ending.output
    with output_lock(output) as lock:
        claim = _claim(plan, fresh=fresh)
        if claim.done:
            say(console, f"{output} is finished already; nothing to do (--fresh starts over)")
            return DONE
        for line in claim.lines:
            say(console, line)
        planned = stored_plan(plan.state, str(plan.ending.manifest["job_digest"]))
        plan = replace(plan, ending=replace(plan.ending, plan=planned))
        _run(plan, options, console, lock)
    if is_template(options):
        say(console, "the job is written down, and its launcher submits it; nothing was annotated yet")
        return DONE
    return show_run(job, output, console)


def plan_job(
    job: Job, beam_options: Sequence[str], *, limit: int | None, size: int | None, console: Console
) -> dict[str, Any] | None:
    """What the job will cost and take, from a pilot that the run will not ask again; annotate nothing.

    None where the output is finished and a run would do nothing. Raises what `run_job` raises.
    """
    # What plans and calibrates is fitted by libraries that a run of a fixed gate need not wait for.
    from pipelines.plan import make_plan  # noqa: PLC0415 - see above

    options = _options(beam_options, job, limit, console)
    plan = _prepared(job, options, limit, console)
    with output_lock(plan.ending.output) as lock:
        claim = _claim(plan, fresh=False)
        if claim.done:
            return None
        for line in claim.lines:
            say(console, line)
        found: list[dict[str, Any]] = []

        def work() -> None:
            with _progress(plan, options, console):
                found.append(make_plan(plan, options, lambda line: say(console, line), size=size))

        _guarded(plan, work, console, lock, fresh=False)
    return found[0]


def compare_job(
    job: Job, beam_options: Sequence[str], wanted: CompareOptions, max_usd: Decimal, *, console: Console
) -> dict[str, Any]:
    """What each model of a job is worth on records of its input, and who should answer what; as JSON values.

    The answers are journaled in the job's output, and a run asks for none of them again. `max_usd` is what
    hosted models may cost. Raises what `run_job` raises.
    """
    from pipelines.compare import compare_models  # noqa: PLC0415 - see `plan_job`
    from pipelines.compare_models import with_all_models  # noqa: PLC0415 - likewise

    options = _options(beam_options, job, None, console)
    plan = _prepared(job, options, None, console)
    found: list[dict[str, Any]] = []
    with output_lock(plan.ending.output) as lock:
        claim = _claim(plan, fresh=False)
        for line in claim.lines:
            say(console, line)
        compared = with_all_models(plan, max_usd)

        def work() -> None:
            with _progress(plan, options, console):
                found.append(compare_models(compared, options, lambda line: say(console, line), wanted))

        _guarded(compared.plan, work, console, lock, fresh=False)
    return found[0]


def _options(
    arguments: Sequence[str], job: Job, limit: int | None, console: Console, *, may_be_dry: bool = False
) -> PipelineOptions:
    """Beam's options, with as many workers as fit the machine where they do not say."""
    options = options_of(arguments)
    if is_dry_run(options) and not (may_be_dry and is_dataflow(options)):
        raise ValueError("--dry_run: it is for `tekizai run` with --runner=DataflowRunner; leave it out")
    if is_dataflow(options):
        check_dataflow(options, job)
    said = settle_workers(options, arguments, job, limit)
    if said is not None:
        say(console, said)
    return options


def _prepared(job: Job, options: PipelineOptions, limit: int | None, console: Console) -> Plan:
    """The plan for as many workers as the options give."""
    local, workers = is_local(options), local_workers(options)
    if is_dataflow(options):
        for line in settle_dataflow(options, job, job.used_models):
            say(console, line)
    if job.budget is not None and not local:
        workers = (budget_sharers if is_dataflow(options) else sharers)(options, job)
        say(
            console,
            f"budget: {workers} workers get an equal part of it each (docs/budget.md says what that means)",
        )
    if sorts_tasks(job):
        named = ", ".join(task.name for task in job.tasks)
        say(console, f"no column names a record's task (input.task): the router sorts them into {named}")
    return _opened(prepare(job, workers=workers, limit=limit, local=local), console)


def _opened(plan: Plan, console: Console) -> Plan:
    """The plan with what the job's packs have learned; what has less effect than the job says is told."""
    for line in (*told_of_sources(plan.job, plan.opening.references), *told_of_judge_money(plan.judge)):
        say(console, line)
    if not plan.job.packs:
        return plan
    from pipelines.pack_heads import with_pack_heads  # noqa: PLC0415 - see `plan_job`

    return with_pack_heads(plan, lambda line: say(console, line))


def _claim(plan: Plan, *, fresh: bool) -> Claim:
    """What is in the output, unless a job on another machine is writing it. Raises `OutputError`."""
    check_over(plan.ending.output)
    return claim_output(plan.ending.output, plan.ending.manifest, fresh=fresh)


def plan_offline(job: Job, rates: str | None, *, limit: int | None, console: Console) -> dict[str, Any]:
    """The same without asking any model; leaves nothing behind.

    Args:
        job: The checked job file.
        rates: The output of an earlier run that tells how fast models are and how often each is asked; None:
            the job's own output, where there is one.
        limit: Plan for the first records only.
        console: Where to say what is going on.

    Raises:
        OutputError: `rates` is no finished output.
    """
    from pipelines.plan_offline import EarlierRun, make_offline_plan  # noqa: PLC0415 - see `plan_job`

    plan = prepare(job, workers=1, limit=limit)
    earlier = None
    try:
        earlier = EarlierRun(read_summary(rates or plan.ending.output))
    except FileNotFoundError:
        if rates is not None:
            raise OutputError(
                f"{rates}: there is no summary.json; give the output of a finished job"
            ) from None
        say(console, "no earlier run in the job's output; name one with --rates OUTPUT for better numbers")
    return make_offline_plan(plan, earlier)


def calibrate_first(plan: Plan, options: PipelineOptions, console: Console) -> Plan:
    """The plan with its gate certified, or with the calibration that the job names; else as it is."""
    named = plan.job.calibration.artefact is not None
    if plan.policy is not None and not named:
        return plan
    from pipelines.calibrated import calibrated_plan, reused_plan  # noqa: PLC0415 - see `plan_job`

    settle = reused_plan if named else calibrated_plan
    settled = settle(plan, options, lambda line: say(console, line))
    clear_progress(plan.state)
    return settled


def _run(plan: Plan, options: PipelineOptions, console: Console, lock: OutputLock) -> None:
    def work() -> None:
        with _progress(plan, options, console):
            run_plan(calibrate_first(plan, options, console), options)

    _guarded(plan, work, console, lock)


@contextlib.contextmanager
def _progress(plan: Plan, options: PipelineOptions, console: Console) -> Iterator[None]:
    """Shows how far the pipelines are that run in the block, where this process can know it.

    What the workers noted of that is removed when the block has done its work.
    """
    with ProgressLine(plan.state, console) if is_local(options) else contextlib.nullcontext():
        yield
    clear_progress(plan.state)


def _guarded(
    plan: Plan, work: Callable[[], object], console: Console, lock: OutputLock, *, fresh: bool = True
) -> None:
    """Do the work so that it can be stopped at any time, and say what is left where it fails.

    `fresh` says whether the command has that option.
    """
    output = plan.ending.output

    def tell(why: str) -> None:
        # While the lock is held still: afterwards the folder may be another run's.
        say(console, f"tekizai: {why}{_kept(output, fresh=fresh)}")
        console.show_cursor()

    try:
        with ending_at_once(tell, lock.release, FAILED):
            start(plan)
            with watching(plan.job, plan.state, console):
                work()
    except (JobFailedError, LedgerError) as error:
        raise JobFailedError(f"{error}{_kept(output, fresh=fresh)}") from error


def calibrate_job(job: Job, beam_options: Sequence[str], *, fresh: bool = False, console: Console) -> None:
    """Certify the gate of a job and leave the calibration in its output's state folder; annotate nothing.

    `fresh` replaces what is in the output, answers included.

    Raises what `run_job` raises, and `ValueError` where the job's gate has no target.
    """
    if job.routing.gate.target is None:
        raise ValueError("routing.gate: there is no target to certify; give target: 0.95 for min_confidence")
    if job.calibration.artefact is not None:
        raise ValueError("calibration.artefact: leave it out to calibrate anew; `run` uses it as it is")
    from pipelines.calibrated import calibrated_plan  # noqa: PLC0415 - see `plan_job`

    options = _options(beam_options, job, None, console)
    plan = _prepared(job, options, None, console)
    with output_lock(plan.ending.output) as lock:
        claim = _claim(plan, fresh=fresh)
        for line in claim.lines:
            say(console, line)

        def work() -> None:
            with _progress(plan, options, console):
                calibrated_plan(plan, options, lambda line: say(console, line))

        _guarded(plan, work, console, lock)
    say(console, f"calibration: {plan.state}/calibration")


def _kept(output: str, *, fresh: bool) -> str:
    """What is left of a run that ended early, as the end of a line."""
    note = noted_job(output)
    if note is not None:
        return f". {describe(note)} goes on without this process, and the same command finds its output"
    if not clear_failed(output):
        return ""
    on = batches_under_way(output)
    anew = "; with --fresh it starts over" if fresh else ""
    return f". What was answered is kept: the same command continues{anew}{on}"


def check_job(job: Job, console: Console) -> None:
    """Do all that `run` does before it asks a model, and say what was found."""
    plan = _opened(prepare(job, workers=1), console)
    if job.calibration.artefact is not None:
        from pipelines.calibration_store import load_artefact  # noqa: PLC0415 - see `plan_job`

        load_artefact(job.calibration.artefact)
    say(console, f"{job.name}: {len(plan.splits)} split(s) of {job.input.path} to read")
    if plan.reader.schema is not None:
        say(console, f"columns: {', '.join(map(shown, plan.reader.schema.names))}")
    for line in told_packs(job, plan.ending.manifest):
        say(console, line)
    say(console, f"models: {', '.join(job.used_models)}. The job file is right.")
