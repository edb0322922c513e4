"""Values of `--config` get the types that a file would give them."""

import pytest
import yaml

from sparsight.io.errors import InputError
from sparsight.study.yaml_files import load_yaml, typed_values


def typed(*entries, **read):
    return list(typed_values(entries, read))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("x={images: 20}", {"images": 20}),
        ("x={a: {b: [1, 0.5, true, null]}}", {"a": {"b": [1, 0.5, True, None]}}),
        ("x=[1, 2]", [1, 2]),
        ("x={'a': '20', b: \"7\"}", {"a": "20", "b": "7"}),
        ("x={12: 1, true: 2, null: 3}", {"12": 1, "true": 2, "null": 3}),
        ("x=true", True),
        ("x=demo", "demo"),
        ("x=a=b", "a=b"),
        ("x=", None),
    ],
)
def test_numbers_of_the_command_line_are_numbers(entry, value):
    (found,) = typed(entry)
    assert repr(found) == repr(("x", value))


def test_what_snakemake_read_as_a_number_is_kept():
    assert typed("x=1e2", "y=True", "z=5", x=100.0, y=True, z=5) == []


def test_what_is_no_yaml_stays_text():
    assert typed("x=[1, 2", "y=a: b: c", "z=*a") == []


def test_a_key_twice_in_an_argument_is_refused():
    with pytest.raises(InputError, match=r"--config x: .*'a'"):
        typed("x={a: 1, a: 2}")


def test_order_and_keys_are_those_given():
    assert [key for key, _ in typed("b=[1]", "a=[2]", "b=[3]")] == ["b", "a", "b"]


@pytest.mark.parametrize("value", [{"a": [1, {"b": 2.5}]}, [1, "x"], {"k": None}])
def test_types_are_those_of_a_file(tmp_path, value):
    (found,) = typed(f"x={yaml.safe_dump(value, default_flow_style=True).strip()}")
    assert found == ("x", value)


def test_json_is_read_strictly_too(tmp_path):
    path = tmp_path / "study.json"
    path.write_text('{\n\t"a": 1,\n\t"b": "x"\n}\n', encoding="utf-8")
    assert load_yaml(path) == {"a": 1, "b": "x"}
    path.write_text('{\n\t"a": 1,\n\t"a": 2\n}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 3"):
        load_yaml(path)


def test_the_line_that_is_no_utf_8_is_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes("a: 1\nb: 2\nc: Bj\xf6rn\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"study\.yaml line 3 "):
        load_yaml(path)
