"""The layout is complete, and all lists of dependencies say the same."""

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.linters.source_files import ROOT, listed

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = ROOT / "requirements.lock"
ENVIRONMENT = ROOT / "envs" / "sparsight.yaml"
PYTHONS = [f"3.{minor}" for minor in range(8, 20)]
LAYOUT = """
    .ci/run CHANGELOG.md CITATION.cff CONTRIBUTING.md LICENSE Makefile README.md Snakefile
    .snakemake-workflow-catalog.yml benchmarks catalogue config.yaml config/README.md
    envs/sparsight.yaml profiles/default/profile.v9+.yaml
    profiles/gpu/profile.v9+.yaml profiles/slurm/profile.v9+.yaml
    profiles/slurm_cpu/profile.v9+.yaml pyproject.toml requirements.lock
    results/README.md src/sparsight studies/thesis_mnist.yaml tests/cluster tests/reference
    tests/unit tests/workflow workflow/Snakefile workflow/report workflow/rules/common.smk
    workflow/schemas/study.schema.json workflow/scripts
"""


def test_layout_is_complete():
    paths = {name: ROOT / name for name in LAYOUT.split()}
    assert [
        name
        for name, path in paths.items()
        if not (path.is_file() or (path.is_dir() and any(path.iterdir())))
    ] == []


def test_no_file_is_a_link():
    # A link to an environment stands in the way of `make env`.
    done = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    links = [line for line in done.stdout.splitlines() if line.startswith("120000")]
    assert not links, listed(links)


def test_workflow_catalogue_finds_what_it_asks_for():
    # "standardized usage" of snakemake-workflow-catalog: these two files, and workflow/Snakefile
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text("utf-8"))["usage"]
    assert usage["report"] is True
    assert usage["software-stack-deployment"]["conda"] is ENVIRONMENT.is_file()
    page = (ROOT / "config" / "README.md").read_text("utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    assert links
    assert [link for link in links if not (ROOT / "config" / link).exists()] == []


def needs(requirements):
    """Canonical name to range, for requirements as text."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(r.name): (r.specifier, frozenset(r.extras)) for r in parsed}


# --- the lock file


def pins(text):
    """(name, version) of every pin of a lock file; a package may have one for each Python."""
    return [
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([\w.\-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.M)
    ]


def unhashed(text):
    """Pins without a hash."""
    entries = re.split(r"\n(?=[A-Za-z])", text)
    return [entry.split()[0] for entry in entries if "==" in entry and "--hash=" not in entry]


def test_lock_names_no_index():
    text = LOCK.read_text(encoding="utf-8")
    # an address, not the letters: packages are called httpx2
    wanted = ("--index-url", "--extra-index-url", "--find-links", "http:", "https:")
    found = [word for word in wanted if word in text]
    assert not found, f"requirements.lock has {found}: where to install from is the user's choice"


def test_lock_pins_everything_with_hashes():
    text = LOCK.read_text(encoding="utf-8")
    assert len(pins(text)) > len(PROJECT["dependencies"])
    assert unhashed(text) == []


def outside(ranges, pinned):
    """Dependencies that are not pinned, or have a pin outside of their range."""
    for name, (specifier, _) in ranges.items():
        versions = [version for other, version in pinned if other == name]
        if not versions:
            yield f"{name} is not pinned"
        for version in versions:
            if not specifier.contains(version, prereleases=True):
                yield f"{name}=={version} is not {specifier}"


def test_lock_pins_every_dependency_within_its_range():
    found = [*outside(needs(PROJECT["dependencies"]), pins(LOCK.read_text(encoding="utf-8")))]
    assert not found, listed(found)


# --- the conda environment


@pytest.fixture(scope="module")
def environment():
    """Packages by conda, and what pip installs, of the environment file."""
    entries = yaml.safe_load(ENVIRONMENT.read_text(encoding="utf-8"))["dependencies"]
    by_pip = [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    return [entry for entry in entries if isinstance(entry, str)], by_pip


def conda_specifier(entry):
    """Range of a conda entry ("python>=3.11,<3.14", "python=3.12") as pip writes it."""
    text = re.sub(r"^[\w.\-]+\s*", "", entry.partition("::")[2] or entry)
    return SpecifierSet(re.sub(r"^=([\d.]+?)(\.?\*)?$", r"==\1.*", text))


def installs_the_project(line):
    """Whether a line of pip's section installs the project itself ("..", "-e ..", "../.[x]")."""
    return re.fullmatch(r"(-e\s+|--editable[ =])?\.\./?\.?/?(\[[\w,\-]+\])?", line) is not None


def test_environment_installs_the_project(environment):
    # Snakemake copies the environment file elsewhere before it makes the environment, so that a
    # path in it leads nowhere; the script beside it is run when the environment is there.
    after = ENVIRONMENT.with_suffix(".post-deploy.sh")
    assert any(map(installs_the_project, environment[1])) or (
        after.is_file() and re.search(r"^[^#\n]*pip install\b", after.read_text("utf-8"), re.M)
    ), f"neither {ENVIRONMENT.name} nor {after.name} installs the project"


def test_environment_and_project_have_equal_ranges(environment):
    by_conda, by_pip = environment
    named = needs(line for line in by_pip if re.match(r"[A-Za-z]", line))
    expected = needs(PROJECT["dependencies"])
    # Where pip installs the project itself it finds the dependencies there; else all are listed.
    through_project = any(map(installs_the_project, by_pip))
    assert named == expected or (through_project and not named)
    for entry in by_conda:
        name = canonicalize_name(re.match(r"(?:.*::)?([\w.\-]+?)\s*(?:[<>=!~\s]|$)", entry)[1])
        if name in expected:
            assert conda_specifier(entry) == expected[name][0], entry


def test_environment_has_a_python_that_the_project_accepts(environment):
    (entry,) = [e for e in environment[0] if re.match(r"(?:.*::)?python(?![\w\-])", e)]
    given, accepted = conda_specifier(entry), SpecifierSet(PROJECT["requires-python"])
    offered = [python for python in PYTHONS if given.contains(f"{python}.5")]
    assert offered
    assert all(accepted.contains(f"{python}.5") for python in offered)


# --- the rules above can fail


def test_pins_are_read():
    text = "a.b==1.0 ; python_version < '3.12' \\\n    --hash=sha256:0\n    # via c\nC[x]==2\n"
    assert pins(text) == [("a-b", "1.0"), ("c", "2")]
    assert unhashed(text) == ["C[x]==2"]


def test_pins_outside_of_a_range_are_found():
    ranges = needs(["a>=2", "b[x]", "c!=1"])
    assert [*outside(ranges, [("a", "2.0"), ("a", "1.9"), ("c", "2")])] == [
        "a==1.9 is not >=2",
        "b is not pinned",
    ]


@pytest.mark.parametrize(
    ("entry", "fits", "does_not"),
    [
        ("python>=3.11", "3.13.5", "3.10.5"),
        ("python >=3.11,<3.14", "3.13.5", "3.14.5"),
        ("python=3.12", "3.12.5", "3.13.5"),
        ("python=3.12.*", "3.12.5", "3.13.5"),
        ("conda-forge::python=3.12", "3.12.5", "3.13.5"),
    ],
)
def test_conda_ranges_are_read(entry, fits, does_not):
    assert conda_specifier(entry).contains(fits)
    assert not conda_specifier(entry).contains(does_not)


@pytest.mark.parametrize("line", ["..", "-e ..", "--editable ../", "..[dev]"])
def test_line_that_installs_the_project_is_known(line):
    assert installs_the_project(line)
    assert not installs_the_project(line.replace("..", "torch"))
