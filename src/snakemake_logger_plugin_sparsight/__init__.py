"""Snakemake's console with a line for each finished job: `--logger sparsight`, as the profiles say.

Snakemake finds plugins by the first words of their module's name, wherever Python finds modules; so
this one lies beside the library, which itself knows nothing of Snakemake. Messages, errors and dry
runs look as they always do; Snakemake's own log in `.snakemake/log` has everything, as always.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from logging import LogRecord
from pathlib import Path
from typing import Any

from snakemake.logging import (
    ColorizingTextHandler,
    DefaultFilter,
    DefaultFormatter,
    is_quiet_about,
)
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_sparsight.arguments import refuse_what_stops_snakemake
from sparsight.study.costs.predict import ForecastProcess, JobKind, job_kind, schedule
from sparsight.study.progress import (
    RunProgress,
    SummaryJob,
    benchmark_seconds,
    closing_lines,
    network_line,
    summary_lines,
    time_line,
    wildcard_text,
)

#: what the lines of finished jobs stand for
_REPLACED = (LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.PROGRESS, LogEvent.SHELLCMD)
_SELECTING = "Select jobs to execute..."
#: what the summary of a dry run stands for
_SUMMED_UP = (LogEvent.JOB_INFO, LogEvent.SHELLCMD, LogEvent.RUN_INFO, LogEvent.WORKFLOW_STARTED)
_SUMMED_UP_TEXTS = (
    "Reasons:",
    "Some jobs were triggered by provenance information",
    "Rules with provenance triggered jobs:",
    "Using workflow specific profile",
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "This was a dry-run",
)


class LogHandler(LogHandlerBase):
    """Writes to the console; nothing depends on whether that is a terminal, colours apart."""

    def __post_init__(self) -> None:
        # The first of this project's code that runs: before configuration files are read.
        refuse_what_stops_snakemake()
        settings = self.common_settings
        self._console = ColorizingTextHandler(
            nocolor=settings.nocolor, stream=sys.stdout if settings.stdout else sys.stderr
        )
        self._console.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self._console.addFilter(
            DefaultFilter(
                settings.quiet,
                settings.debug_dag,
                settings.verbose,
                settings.dryrun,
                settings.printshellcmds,
            )
        )
        self._quiet = is_quiet_about(settings.quiet or (), "progress")
        self._progress = RunProgress({}, time.monotonic())
        self._benchmarks: dict[int, str | None] = {}
        # `-n -p` is how Snakemake's users ask for all of a dry run; what is quiet stays Snakemake's
        self._sums_up = settings.dryrun and not (
            settings.quiet or settings.printshellcmds or settings.verbose or settings.debug_dag
        )
        self._workflow: Any = None
        self._config: dict[str, Any] = {}
        self._stale: dict[str, dict[str, list[str]]] = {}
        self._forecast: ForecastProcess | None = None
        # of the jobs of a run that waits for its forecast
        self._kinds: list[tuple[str, JobKind]] | None = None
        self._logs: list[str] = []
        self._closed = False

    def emit(self, record: LogRecord) -> None:
        """Write a record, or the line that stands for it; a full disk costs that line only."""
        try:
            self._emit(record)
        except Exception:
            # An exception would end the thread of the queue, and with it all lines to come.
            self.handleError(record)

    def _emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        if hasattr(record, "sparsight_workflow"):
            facts = record.__dict__
            self._workflow, self._config = facts["sparsight_workflow"], facts["sparsight_config"]
            self._stale = facts["sparsight_stale"]
        if self.common_settings.dryrun:
            self._dry(record, event)
            return
        self._predict()
        if event == LogEvent.RUN_INFO:
            planned = dict(record.__dict__["stats"])
            planned.pop("total", None)
            self._progress = RunProgress(planned, time.monotonic())
            if self._workflow is not None and self._forecast is None:
                self._kinds = [
                    (job.rule.name, job_kind(job.rule.name, job.wildcards_dict))
                    for job in self._planned_jobs()
                ]
                self._forecast = self._start_forecast()
        elif event == LogEvent.JOB_INFO:
            self._line(self._started(record.__dict__))
        elif event == LogEvent.JOB_FINISHED:
            number = record.__dict__["job_id"]
            seconds = benchmark_seconds(self._benchmarks.pop(number, None))
            self._line(self._progress.finished(number, time.monotonic(), seconds))
            return
        elif event == LogEvent.JOB_ERROR:
            self._progress.failed(record.__dict__["jobid"])
        if event not in _REPLACED and record.msg != _SELECTING:
            self._console.handle(record)

    def _dry(self, record: LogRecord, event: LogEvent | None) -> None:
        if not self._sums_up or self._workflow is None:
            self._console.handle(record)
        elif event == LogEvent.RUN_INFO and self._forecast is None:
            # Torch is imported while Snakemake goes through the jobs.
            self._forecast = self._start_forecast()
        elif event == LogEvent.RUN_INFO:
            self._write("\n".join(self._summary(list(record.__dict__["stats"]))))
        elif event not in _SUMMED_UP and not str(record.msg).startswith(_SUMMED_UP_TEXTS):
            self._console.handle(record)

    def _predict(self) -> None:
        """Give the run its forecast, once that is made."""
        if self._forecast is None or self._kinds is None or not self._forecast.ready():
            return
        seconds, predicted = self._forecast.result().seconds, defaultdict[str, float](float)
        for rule, kind in self._kinds:
            predicted[rule] += seconds.get(kind, 0.0)
        # A rule of which some jobs are unknown goes by its finished ones.
        unknown = {rule for rule, kind in self._kinds if kind not in seconds}
        self._progress.predicted = {r: s for r, s in predicted.items() if r not in unknown}
        self._kinds = None
        self._line(self._progress.opening(time.monotonic()))

    def close(self) -> None:
        """End a forecast that nobody waits for any more, and say what came of the run."""
        if not self.common_settings.dryrun and not self._closed:
            if self._forecast is not None and self._kinds:
                self._forecast.stop()
            study, whole = self._config.get("study"), self._progress.done == self._progress.total
            if study and self._progress.total and not self._quiet:
                for line in closing_lines(Path("results") / study, self._logs, whole):
                    self._write(line)
        self._closed = True
        super().close()

    def _start_forecast(self) -> ForecastProcess:
        kinds = {job_kind(job.rule.name, job.wildcards_dict) for job in self._planned_jobs()}
        return ForecastProcess(self._config, kinds)

    def _planned_jobs(self) -> list[Any]:
        return list(self._workflow.dag.needrun_jobs(exclude_finished=False))

    def _summary(self, order: list[str]) -> Iterator[str]:
        """Lines of the summary of a dry run; rules in Snakemake's order."""
        dag, planned = self._workflow.dag, self._planned_jobs()
        jobs = [SummaryJob.of(job, dag.reason(job), self._stale) for job in planned]
        assert self._forecast is not None
        forecast = self._forecast.result()
        yield f"Study {self._config['study']}: what would run"
        yield from summary_lines(sorted(jobs, key=lambda job: order.index(job.rule)), forecast)
        if forecast.seconds:
            seconds = [forecast.seconds.get(job.kind, 0.0) for job in jobs]
            place = {job: index for index, job in enumerate(planned)}
            after = [{place[o] for o in dag.dependencies[job] if o in place} for job in planned]
            limits = self._workflow.resource_settings
            workers = limits.nodes or limits.cores or 1
            yield time_line(forecast, workers, *schedule(seconds, after, workers))
            by_seed = defaultdict[str, list[JobKind]](list)
            for job, one in zip(planned, jobs, strict=True):
                if seed := job.wildcards_dict.get("seed"):
                    by_seed[seed].append(one.kind)
            if by_seed:
                yield network_line(by_seed, forecast)
        if forecast.claims:
            yield forecast.claims
        yield "Nothing has been run. All jobs one by one: the same command with -p."

    def _started(self, facts: dict[str, Any]) -> str:
        number = facts["jobid"]
        self._benchmarks[number] = facts.get("benchmark")
        self._logs += facts.get("log") or []
        what = wildcard_text(facts["wildcards"])
        queued = not facts.get("local", True)
        return self._progress.started(number, facts["rule_name"], what, time.monotonic(), queued)

    def _line(self, text: str) -> None:
        if text and not self._quiet:
            self._write(f"{time.strftime('%H:%M:%S')}  {text}")

    def _write(self, text: str) -> None:
        self._console.stream.write(f"{text}\n")
        self._console.flush()

    @property
    def writes_to_stream(self) -> bool:
        """It does: Snakemake's own console is not used."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It does not."""
        return False

    @property
    def has_filter(self) -> bool:
        """It has Snakemake's own behind it: jobs are followed whatever `--quiet` hides."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It has Snakemake's own."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It does not."""
        return False
