"""Summaries of plans whose jobs, reasons and costs are known."""

from types import SimpleNamespace

import pytest

from sparsight.study.costs.predict import Forecast, ForecastProcess, job_kind
from sparsight.study.progress import WHY, SummaryJob, summary_lines, time_line, why


def reason(**changes):
    """A reason of Snakemake that says nothing, but for the changes."""
    facts = {
        "forced": False, "missing_output": set(), "incomplete_output": set(),
        "params_changed": None,
        "code_changed": False, "input_changed": False, "updated_input": set(),
        "updated_input_run": set(), "software_stack_changed": False,
    }  # fmt: skip
    return SimpleNamespace(**{**facts, **changes})


def params(old, new):
    return SimpleNamespace(only_old=set(old), only_new=set(new))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"forced": True, "missing_output": {"a"}}, "forced"),
        ({"missing_output": {"a"}, "updated_input_run": {"b"}}, "new"),
        ({"incomplete_output": {"a"}}, "incomplete"),
        ({"params_changed": params(["{'training': 1}"], ["{'training': 2}"])}, "version"),
        (
            {"params_changed": params(["{'metric a': 'A 1'}"], ["{'metric a': 'B 1'}"])},
            "version",
        ),
        ({"params_changed": params(["{'rate': 0.2}"], ["{'rate': 0.3}"])}, "settings"),
        (
            {
                "params_changed": params(
                    ["{'training': 1}", "{'rate': 0.2}"], ["{'training': 2}", "{'rate': 0.3}"]
                )
            },
            "version",
        ),
        ({"updated_input": {"a"}}, "inputs"),
        ({"input_changed": True}, "inputs"),
        ({"updated_input": {"a"}, "updated_input_run": {"a"}}, "follows"),
        ({"software_stack_changed": True}, "environment"),
    ],
)
def test_why_a_job_runs(changes, expected):
    assert why(reason(**changes)) == expected


def planned(name, *output):
    return SimpleNamespace(rule=SimpleNamespace(name=name), wildcards_dict={}, output=output)


@pytest.mark.parametrize(
    ("stale", "why", "changed"),
    [
        ({"new": ["entropy"], "version": ["soft_iou"]}, "version", {"soft_iou"}),
        ({"new": ["entropy"], "settings": ["soft_iou"]}, "settings", {"soft_iou"}),
        ({"new": ["entropy"], "inputs": ["soft_iou"]}, "added", {"entropy"}),
        ({"inputs": ["soft_iou"]}, "inputs", set()),
    ],
)
def test_a_file_of_which_entries_are_out_of_date_says_which(stale, why, changed):
    found = SummaryJob.of(planned("score", "a.parquet"), reason(forced=True), {"a.parquet": stale})
    assert (found.why, set(found.changed)) == (why, changed)
    other = SummaryJob.of(planned("score", "b.parquet"), reason(forced=True), {"a.parquet": stale})
    assert other.why == "forced"


def test_what_changed_is_named():
    version = params(
        ["{'training': 1, 'criterion a': 'A 1'}"], ["{'training': 2, 'criterion a': 'A 1'}"]
    )
    settings = params(
        ["{'retraining': {'epochs': 2, 'noise': True}, 'rate': 0.2}"],
        ["{'retraining': {'epochs': 3, 'noise': True}, 'rate': 0.2, 'new': {'a': 1}}"],
    )
    jobs = [
        SummaryJob.of(planned(name), found, {})
        for name, found in (
            ("train", reason(params_changed=version)),
            ("prune", reason(params_changed=settings)),
            ("draw", reason(params_changed=params(["1"], ["2"]))),
        )
    ]
    assert [(job.why, set(job.changed)) for job in jobs] == [
        ("version", {"training"}),
        ("settings", {"retraining.epochs", "new"}),
        ("settings", set()),
    ]
    lines = "\n".join(summary_lines(jobs, Forecast({}, {})))
    assert "version: the version was raised of training (train)" in lines
    assert "retraining.epochs" in lines


def job(rule, reason_name="new", **wildcards):
    return SummaryJob(rule, job_kind(rule, wildcards), reason_name)


def test_hours_and_reasons_add_up_by_rule():
    jobs = [
        *(job("train", dataset="d", seed=str(seed)) for seed in range(4)),
        job("train", "follows", dataset="e", seed="0"),
        job("draw"),
        job("all", "follows"),
    ]
    forecast = Forecast(
        {("train", "dataset=d"): 1800.0, ("train", "dataset=e"): 900.0}, {"maps": 2_500_000_000}
    )
    lines = list(summary_lines(jobs, forecast))
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:4]}
    assert rows == {
        "train": ["5", "2.25", "4", "new,", "1", "follows"],
        "draw": ["1", "–", "1", "new"],
        "total": ["6", "2.25", "5", "new,", "1", "follows"],
    }
    assert any("2.50 GB" in line for line in lines)
    assert any(" 1 jobs" in line for line in lines), "one has no known cost"


def test_a_summary_is_short_whatever_runs():
    names = [f"a_rule_with_quite_a_long_name_{number}" for number in range(90)]
    jobs = [job(name, reason_name, model="m" * 300) for name in names for reason_name in WHY]
    lines = list(summary_lines(jobs, Forecast({}, {f"kind {n}": n for n in range(6)})))
    assert len(lines) <= 34
    assert max(map(len, lines)) <= 180


def test_the_forecast_is_made_by_a_process(study_of):
    kinds = [job_kind("prune_level", {"dataset": "digits", "model": "thesis_cnn_digits",
                                      "seed": "333", "pruner": "magnitude", "level": "03"}),
             job_kind("no_such_rule", {})]  # fmt: skip
    found = ForecastProcess(study_of().config, kinds).result()
    assert list(found.seconds) == kinds[:1]
    assert 0 < found.seconds[kinds[0]] < 600
    assert found.bytes["explanations"] > 0
    assert (found.largest, found.megabytes > 500) == ("prune_level", True)


def test_a_forecast_that_fails_is_empty():
    found = ForecastProcess({"study": "broken"}, [("train",)]).result()
    assert (found.seconds, found.bytes) == ({}, {})


def test_the_time_and_the_memory_of_a_run():
    line = time_line(Forecast({}, {}, 2048.0, "train"), 2, 7200.0, 90.0)
    assert "2 h 0 min with 2 jobs at a time, at least 1 min 30 s" in line
    assert "2.0 GiB (train)" in line
