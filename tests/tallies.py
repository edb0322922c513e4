"""What tests count, printed after the run: also where several processes share the tests.

A test notes rows among its `user_properties`, which pytest-xdist carries from the process that ran
it to the one that reports.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

BAD_INPUT, FAULT, SIMULATION = "bad input", "fault", "simulation"
FEWEST_BAD_INPUTS = 300
#: where `make simulations` writes the rates of all simulations
SIMULATIONS_PAGE = Path(__file__).parents[1] / "docs" / "simulations.md"
_SIMULATIONS_HEAD = """<!-- Made by `make simulations` from the tests; edit those. -->

# Simulations with known truth

How often intervals cover the truth and tests find what is not there, and the same for the naive
methods that they replace. `make simulations` makes this page from `tests/statistics`, whose tests
fail where a rate is beyond what stands in the last column by more than the error of the
simulation itself. *Nominal* is a rate that theory gives, and a *failing* or *short* method one
whose rate is known to lie elsewhere. Every test run prints the same table.

| simulated | rate | trials | expected |
| --- | ---: | ---: | --- |
"""
_BAD_INPUT_FILES = {path.name for path in (Path(__file__).parent / "bad_input").glob("test_*.py")}


class Tallies:
    """A plugin of pytest that gathers the notes of all tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.whole = not config.option.keyword
        self.record_simulations = config.getoption("--record-simulations")
        self.rows: dict[str, list[Any]] = defaultdict(list)
        self.files: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the notes of a test when it has ended."""
        if report.when == "teardown":
            self.files.add(Path(report.fspath).name)
            for kind, row in report.user_properties:
                if kind in (BAD_INPUT, FAULT, SIMULATION):
                    self.rows[kind].append(row)

    def enough_bad_inputs(self) -> bool:
        """Whether a run of all files of `tests/bad_input` has tried enough of them."""
        whole = self.whole and self.files >= _BAD_INPUT_FILES
        return not whole or self.bad_inputs()["messages"] >= FEWEST_BAD_INPUTS

    def bad_inputs(self) -> Counter[str]:
        """How many inputs were refused, ended in a traceback, or were harmless."""
        total: Counter[str] = Counter()
        for row in self.rows[BAD_INPUT]:
            total.update(row)
        return total

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that has tried too few bad inputs."""
        if not self.enough_bad_inputs():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tables."""
        if self.rows[SIMULATION]:
            terminalreporter.section("simulations with known truth")
        for row in [("simulated", "rate", "trials", "expected"), *self.rows[SIMULATION]]:
            if self.rows[SIMULATION]:
                terminalreporter.write_line(f"{row[0]:<84} {row[1]:>6} {row[2]:>6}  {row[3]}")
        if self.record_simulations:
            lines = (f"| {' | '.join(row)} |\n" for row in self.rows[SIMULATION])
            SIMULATIONS_PAGE.write_text(_SIMULATIONS_HEAD + "".join(lines), encoding="utf-8")
        if self.rows[FAULT]:
            terminalreporter.section("faults")
        for line in self.rows[FAULT]:
            terminalreporter.write_line(line)
        if self.rows[BAD_INPUT]:
            found = self.bad_inputs()
            bad = found["messages"] + found["tracebacks"]
            terminalreporter.section("bad inputs")
            terminalreporter.write_line(
                f"{bad} bad inputs: {found['messages']} error messages, {found['tracebacks']} "
                f"tracebacks ({found['harmless']} more were harmless)"
            )
            if not self.enough_bad_inputs():
                terminalreporter.write_line(f"at least {FEWEST_BAD_INPUTS} must be tried", red=True)
