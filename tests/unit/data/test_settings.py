"""The shape of a data set's images under its options."""

import subprocess
import sys

import pytest

from sparsight.data.registry import SOURCES
from sparsight.data.settings import image_shape
from sparsight.io.errors import InputError

FIXED = {"image_shape": (1, 28, 28), "side_parameter": "", "parameters": {"size": 3}}
SIZED = {"image_shape": (3, 64, 64), "side_parameter": "size", "parameters": {"size": 64}}


def test_a_fixed_side_ignores_the_options() -> None:
    assert image_shape(FIXED, {"size": 64}) == (1, 28, 28)
    assert image_shape({"image_shape": [1, 28, 20]}, {}) == (1, 28, 20)


def test_a_side_that_is_an_option() -> None:
    assert image_shape(SIZED, {}) == (3, 64, 64)
    assert image_shape(SIZED, {"size": 32, "split": {"test": 5}}) == (3, 32, 32)


@pytest.mark.parametrize("size", [0, -8, 4097, 64.0, True, "64", None])
def test_an_unusable_side(size: object) -> None:
    with pytest.raises(InputError, match="'size' must be a whole number from 1 to 4096"):
        image_shape(SIZED, {"size": size})


def test_sources_agree_with_their_literal_facts() -> None:
    for name in SOURCES.names():
        facts, source = SOURCES.facts(name), SOURCES.load(name)
        if facts.get("path_parameters"):
            # Nothing is known without files.
            assert facts["parameters"]["path"] == "required"
            assert set(facts["path_parameters"]) <= facts["parameters"].keys()
            continue
        assert source.shape({}) == image_shape(facts, {}) == facts["image_shape"]


def test_asking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from sparsight.data.settings import image_shape; "
        "assert not {'numpy', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
