"""For all tests."""

import os

# Before anything imports torch: with several threads, tests beside other work wait for each
# other's threads many times longer than they compute. Jobs set their own number.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import shutil  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.tallies import Tallies  # noqa: E402
from tests.workflow.conftest import PARTS, ROOT, copy_of  # noqa: E402
from tests.workflow.project import Project  # noqa: E402

# Timed assertions fail for the machine's reasons and not for the code's.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tallies(config), "tallies")


#: folders whose tests run studies
LONG = {"cluster", "faults", "workflow"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process is left with one of them at the end."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-golden", action="store_true", help="write tests/golden/numbers.json anew"
    )
    parser.addoption(
        "--record-networks",
        action="store_true",
        help="write anew which explainers run on which networks",
    )
    parser.addoption(
        "--record-simulations", action="store_true", help="write docs/simulations.md anew"
    )


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project in which the tiny study ran once for all tests; not to be changed."""
    project = copy_of(ROOT, tmp_path_factory.mktemp("finished") / "project", PARTS)
    project.run("--cores", "2")
    return project


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's Chromium, driven by playwright; pages of a context must be closed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed, so no page can be shown")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def determinism_as_it_was() -> Iterator[None]:
    """A job that runs inside of a test leaves torch deterministic; others need not be."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_deterministic_debug_mode("default")
