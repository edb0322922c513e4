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


def test_primary_claims_stand_first_and_the_others_are_counted(tmp_path):
    claims = tmp_path / "claims.csv"
    rows = [
        "a,exploratory,open,4 networks at least",
        "b,secondary,supported,",
        "c,primary,open,why",
    ]
    rows += ["d,primary,replicated,", *(f"{name},exploratory,open,why" for name in "efghij")]
    claims.write_text("\n".join(["name,tier,verdict,verdict_reason", *rows]))
    assert list(verdict_lines(claims)) == [
        "Primary claim c: open: why",
        "Primary claim d: replicated",
        "Other claims, open: 7 (a, e, f, g, h, i and 1 more)",
        "Other claims, supported: 1 (b)",
    ]


def test_a_run_that_failed_tells_its_warnings_only(tmp_path):
    (tmp_path / "figures").mkdir()
    file = log(tmp_path, "a.log", "WARNING odd")
    assert len(list(closing_lines(tmp_path, [file], whole=False))) == 1
    assert len(list(closing_lines(tmp_path, [file], whole=True))) == 3
