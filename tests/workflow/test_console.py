"""What a run prints where its output is no terminal."""

import re

from tests.workflow.project import Project


def test_a_line_for_each_finished_job_with_the_time_left(fresh: Project) -> None:
    text = fresh.run("--cores", "1", "--until", "make_controls")
    lines = [line for line in text.splitlines() if re.match(r"\d\d:\d\d:\d\d  .* digits", line)]
    assert len(lines) == 6, text
    time = r"\d+ \w+(?: \d+ \w+)?"
    ended = rf"\d\d:\d\d:\d\d  {{}}/3 {{}}%  {{}}  {time}; {{}}"
    for line, form in zip(
        lines,
        [
            r"\d\d:\d\d:\d\d  0/3   0%  fetch_dataset  digits  started",
            ended.format(1, " 33", "fetch_dataset  digits", "2 jobs left.*"),
            r"\d\d:\d\d:\d\d  1/3  33%  prepare_dataset  digits  started",
            ended.format(2, " 66", "prepare_dataset  digits", "1 job left.*"),
            r"\d\d:\d\d:\d\d  2/3  66%  make_controls  digits controls  started",
            ended.format(3, "100", "make_controls  digits controls", "done"),
        ],
        strict=True,
    ):
        assert re.fullmatch(form, line), line
    assert "rule fetch_dataset:" not in text
    # Snakemake's own log has everything
    (log,) = (fresh.folder / ".snakemake" / "log").glob("*.log")
    assert "rule fetch_dataset:" in log.read_text()


def test_a_dry_run_fits_a_screen_and_lists_its_jobs_on_request(fresh: Project) -> None:
    text = fresh.run("-n")
    assert len(text.splitlines()) <= 40, text
    assert max(map(len, text.splitlines())) <= 200, text
    assert re.search(r"^prune_level +3 +(< )?0\.\d\d  3 new$", text, re.M), text
    assert re.search(r"stores \d+\.\d+ GB", text), text
    listed = fresh.run("-n", "-p", "--until", "fetch_dataset")
    assert "rule fetch_dataset:" in listed


def test_ready_jobs_are_looked_at_when_a_job_has_ended_and_not_every_second(fresh: Project) -> None:
    fresh.configure(seeds=[1, 2, 3])
    text = fresh.run("--cores", "1", "--verbose", "--until", "make_rewind_point")
    # Fetching, preparing, three rewind points, and once before.
    assert 3 <= text.count("Ready jobs: ") <= 6, text
