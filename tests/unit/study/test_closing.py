"""The last lines of a run."""

from sparsight.study.progress import closing_lines, verdict_lines, warning_lines


def log(folder, name, *lines):
    file = folder / name
    file.write_text("".join(f"2026-01-01 10:00:00 {line}\n" for line in lines))
    return file


def test_a_warning_is_told_once_with_its_jobs(tmp_path):
    logs = [
        log(tmp_path, "a.log", "INFO fine", "WARNING did not converge", "WARNING did not converge"),
        log(tmp_path, "b.log", "WARNING did not converge"),
        tmp_path / "missing.log",
    ]
    (line,) = warning_lines(logs)
    assert "did not converge (2 jobs, " in line
    assert str(logs[0]) in line


def test_many_and_long_warnings_stay_short(tmp_path):
    file = log(tmp_path, "a.log", *(f"WARNING {n} {'x' * 400}" for n in range(9)))
    lines = list(warning_lines([file]))
    assert len(lines) == 6
    assert lines[-1].startswith("4 ")
    assert max(map(len, lines)) < 200 + len(str(file))


def test_verdicts_name_their_claims(tmp_path):
    claims = tmp_path / "claims.csv"
    claims.write_text("name,verdict\na,undecided\nb,supported\nc,undecided\n")
    assert list(verdict_lines(claims)) == [
        "Claims supported: 1 (b)",
        "Claims undecided: 2 (a, c)",
    ]


def test_a_run_that_failed_tells_its_warnings_only(tmp_path):
    (tmp_path / "figures").mkdir()
    file = log(tmp_path, "a.log", "WARNING odd")
    assert len(list(closing_lines(tmp_path, [file], whole=False))) == 1
    assert len(list(closing_lines(tmp_path, [file], whole=True))) == 3
