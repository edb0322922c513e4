"""The console of a run, from the records that Snakemake 9 logs."""

import io
import logging
import re
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

pytest.importorskip("snakemake.logging")

from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

import snakemake_logger_plugin_sparsight as plugin
from snakemake_logger_plugin_sparsight import LogHandler
from sparsight.study.costs.predict import Forecast


@pytest.fixture
def console(monkeypatch):
    """Function from settings to a handler and what it writes."""

    def build(**changes):
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr("sys.stdout", stream)
        settings = {
            "nocolor": False, "quiet": set(), "debug_dag": False, "verbose": False,
            "dryrun": False, "printshellcmds": False, "show_failed_logs": False, "stdout": False,
        }  # fmt: skip
        return LogHandler(SimpleNamespace(**{**settings, **changes}), None), stream

    return build


def record(message, **facts):
    found = logging.makeLogRecord({"msg": message, "levelname": "INFO", "levelno": logging.INFO})
    found.__dict__.update(facts)
    return found


def run(handler, benchmark=None):
    """One job of two."""
    handler.handle(record("Job stats", event=LogEvent.RUN_INFO, stats={"train": 2, "total": 2}))
    handler.handle(record("Select jobs to execute..."))
    handler.handle(record("Execute 1 jobs...", event=LogEvent.JOB_STARTED, jobs=[4]))
    facts = {"jobid": 4, "rule_name": "train", "wildcards": {"seed": "1"}, "benchmark": benchmark}
    shown = {
        "rule_msg": None, "local": False, "is_checkpoint": False, "input": [], "output": ["a"],
        "log": [], "reason": "", "priority": 0, "threads": 1, "resources": {},
    }  # fmt: skip
    handler.handle(record("Rule: train", event=LogEvent.JOB_INFO, **facts, **shown))
    handler.handle(record("Finished jobid: 4", event=LogEvent.JOB_FINISHED, job_id=4))
    handler.handle(record(None, event=LogEvent.PROGRESS, done=1, total=2))
    handler.handle(record("a message"))


def test_snakemake_finds_the_plugin():
    registry = LoggerPluginRegistry()
    registry.collect_plugins()
    assert "sparsight" in registry.get_registered_plugins()


def test_a_line_for_a_finished_job_and_messages_as_ever(console, tmp_path):
    benchmark = tmp_path / "train.jsonl"
    benchmark.write_text('{"s": 75.0}\n')
    handler, stream = console()
    run(handler, str(benchmark))
    stats, started, finished, message = stream.getvalue().splitlines()
    assert (stats, message) == ("Job stats", "a message")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  0/2   0%  train  seed1  started", started)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  1/2  50%  train  seed1  1 min 15 s; 1 job left, about \d+ s", finished
    )


def test_a_failed_job_is_shown_as_ever(console):
    handler, stream = console()
    run(handler)
    failed = {
        "jobid": 4, "rule_name": "train", "rule_msg": None, "input": [], "output": ["a"],
        "log": ["train.log"], "conda_env": None, "shellcmd": None, "aux": {},
    }  # fmt: skip
    handler.handle(record(None, event=LogEvent.JOB_ERROR, **failed))
    assert "Error in rule train:" in stream.getvalue()
    assert "train.log (check log file(s) for error details)" in stream.getvalue()


def test_a_full_disk_costs_a_line_and_not_the_console(console, monkeypatch):
    handler, stream = console()
    monkeypatch.setattr(handler, "handleError", lambda record: None)
    write = stream.write
    monkeypatch.setattr(stream, "write", lambda text: (_ for _ in ()).throw(OSError(28, "full")))
    run(handler)
    monkeypatch.setattr(stream, "write", write)
    handler.handle(record("a message"))
    assert stream.getvalue() == "a message\n"


def test_a_dry_run_lists_its_jobs(console):
    handler, stream = console(dryrun=True, stdout=True)
    run(handler)
    assert "rule train:" in stream.getvalue()
    assert "    output: a" in stream.getvalue()


@dataclass(eq=False)
class Job:
    """What the console asks of Snakemake's job."""

    rule: SimpleNamespace
    wildcards_dict: dict[str, str]
    output: tuple[str, ...] = ()


class Planned:
    """A workflow of two new jobs, one after the other, and a forecast of 1 h each."""

    def __init__(self, monkeypatch):
        missing = SimpleNamespace(forced=False, missing_output={"a"}, params_changed=None,
                                  incomplete_output=set(), code_changed=False, input_changed=False,
                                  updated_input=set(), updated_input_run=set(),
                                  software_stack_changed=False)  # fmt: skip
        rule = SimpleNamespace(name="train")
        jobs = [Job(rule, {"seed": seed}) for seed in "12"]
        self.dag = SimpleNamespace(
            needrun_jobs=lambda **_: iter(jobs),
            reason=lambda job: missing,
            dependencies={jobs[0]: {}, jobs[1]: {jobs[0]: {"a"}}},
        )
        self.resource_settings = SimpleNamespace(cores=2, nodes=None)
        made = SimpleNamespace(ready=lambda: True, stop=lambda: None,
                               result=lambda: Forecast({("train",): 3600.0}))  # fmt: skip
        monkeypatch.setattr(plugin, "ForecastProcess", lambda config, kinds: made)

    def record(self):
        facts = {"sparsight_workflow": self, "sparsight_config": {"study": "small"}}
        return record("Stored", **facts)


def test_a_dry_run_is_summed_up(console, monkeypatch):
    handler, stream = console(dryrun=True)
    handler.handle(Planned(monkeypatch).record())
    run(handler)
    handler.handle(record("stats", event=LogEvent.RUN_INFO, stats={"train": 2, "total": 2}))
    handler.handle(record("Reasons:\n    output files have to be generated"))
    text = stream.getvalue()
    assert re.search(r"^train +2 +2.00  2 new$", text, re.M), text
    # the second waits for the first
    assert "About 2 h 0 min with 2 jobs at a time" in text
    assert "rule train:" not in text
    assert "Reasons:" not in text


def test_a_run_begins_with_its_forecast_and_ends_with_what_it_left(console, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/small/figures").mkdir(parents=True)
    (tmp_path / "results/small/summary").mkdir()
    (tmp_path / "results/small/summary/claims.csv").write_text(
        "name,tier,verdict,verdict_reason\na,primary,supported,\n"
    )
    (tmp_path / "train.log").write_text("2026-01-01 10:00:00 WARNING did not converge\n")
    handler, stream = console()
    handler.handle(Planned(monkeypatch).record())
    run(handler)
    opening = next(line for line in stream.getvalue().splitlines() if "2 jobs left" in line)
    assert opening.endswith("0/2   0%  2 jobs left, about 2 h 0 min")
    started = {
        "jobid": 5, "rule_name": "train", "wildcards": {"seed": "2"}, "benchmark": None,
        "log": ["train.log"],
    }  # fmt: skip
    handler.handle(record("", event=LogEvent.JOB_INFO, **started))
    handler.handle(record("", event=LogEvent.JOB_FINISHED, job_id=5))
    before = len(stream.getvalue())
    handler.close()
    last = stream.getvalue()[before:]
    assert "did not converge (train.log)" in last
    assert "Primary claim a: supported" in last
    assert "--report" in last


@pytest.mark.parametrize("option", ["printshellcmds", "verbose", "quiet"])
def test_options_give_snakemakes_own_dry_run(console, monkeypatch, option):
    handler, stream = console(dryrun=True, **{option: {Quietness.REASON}})
    handler.handle(Planned(monkeypatch).record())
    run(handler)
    assert "    output: a" in stream.getvalue()


def test_quiet_about_progress_or_everything(console):
    handler, stream = console(quiet={Quietness.PROGRESS})
    run(handler)
    assert stream.getvalue() == "a message\n"
    handler, stream = console(quiet={Quietness.ALL})
    run(handler)
    assert stream.getvalue() == ""
    # quiet about rules, the lines of jobs remain
    handler, stream = console(quiet={Quietness.RULES})
    run(handler)
    assert "1/2  50%  train" in stream.getvalue()
