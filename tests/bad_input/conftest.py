"""Bad inputs of every kind are counted; the run ends with their number."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.bad_input.counting import Tried
from tests.tallies import BAD_INPUT

# The same inputs in every run, whatever other tests load, and nothing kept between runs. Inputs are
# drawn from what a module's own fixtures have built, which no input changes.
settings.register_profile(
    "bad_input",
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Iterator[Tried]:
    """Function that gives a bad input to the program, and counts what came of it."""
    tried = Tried()
    yield tried
    counts = {name: getattr(tried, name) for name in ("messages", "tracebacks", "harmless")}
    request.node.user_properties.append((BAD_INPUT, counts))
