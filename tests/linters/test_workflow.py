"""House rules of the Snakefile, the rules and the profiles."""

import ast
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SNAKEFILE = ROOT / "Snakefile"
RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
COMMON = ROOT / "workflow" / "rules" / "common.smk"
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
PROFILES = sorted(path for path in (ROOT / "profiles").glob("*") if path.is_dir())
PROFILE_NAME = "profile.v9+.yaml"
CATEGORIES = [
    "0 Guide",
    "1 Claims",
    "2 Accuracy",
    "3 Explanations",
    "4 Correlations",
    "5 Agreement",
    "6 Savings",
    "7 Tables",
    "8 Concepts",
]
ACTIONS = {"script", "shell", "run", "notebook", "wrapper", "template_engine"}


@dataclass
class Rule:
    """One rule as it is written."""

    name: str
    file: Path
    line: int
    docstring: str
    directives: dict[str, ast.Call]

    @property
    def is_target(self):
        """Whether it only gathers files and runs nothing."""
        return not ACTIONS & self.directives.keys()

    def keywords(self, directive):
        return [word.arg for word in self.directives[directive].keywords]

    def path(self, directive):
        """File that a directive names: relative to the rule file, or by a name of common.smk."""
        (argument,) = self.directives[directive].args
        if isinstance(argument, ast.Name):
            definition = re.search(rf"^{argument.id} = (.*)$", COMMON.read_text("utf-8"), re.M)
            return ROOT.joinpath(*re.findall(r'"(.*?)"', definition[1]))
        return (self.file.parent / ast.literal_eval(argument)).resolve()


def rules_in(text, file=SNAKEFILE):
    """Rules of a Snakefile that is formatted by snakefmt."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"(rule|checkpoint) \w+:", line)]
    found = []
    for start in starts:
        block = []
        for line in lines[start + 1 :]:
            if line.strip() and not line.startswith((" ", "#")):
                break
            block.append(line)
        body = "\n".join(block)
        docstring = re.match(r'\s*(?:"""(.*?)"""|"([^"\n]*)"\n)', body, re.DOTALL)
        if docstring:
            body = body[docstring.end() :]
        parts = re.split(r"^ {4}(\w+):", body, flags=re.MULTILINE)
        directives = {
            name: ast.parse(f"f({arguments}\n)", mode="eval").body
            for name, arguments in zip(parts[1::2], parts[2::2], strict=True)
            if name != "run"
        }
        if "run" in parts[1::2]:
            directives["run"] = ast.Call(ast.Name("f"), [], [])
        found.append(
            Rule(
                name=re.split(r"[ :]", lines[start])[1],
                file=file,
                line=start + 1,
                docstring="".join(filter(None, docstring.groups())) if docstring else "",
                directives=directives,
            )
        )
    return found


RULES = [rule for file in RULE_FILES for rule in rules_in(file.read_text(encoding="utf-8"), file)]
JOBS = [rule for rule in RULES if not rule.is_target]
per_job = pytest.mark.parametrize("rule", JOBS, ids=lambda rule: f"{rule.file.stem}:{rule.name}")
per_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)


def test_there_are_rules_scripts_and_profiles():
    # Without this, an empty folder would pass everything below.
    assert JOBS
    assert SCRIPTS
    assert {"default", "gpu", "slurm"} <= {path.name for path in PROFILES}


def test_snakefile_is_a_table_of_contents():
    count = len(SNAKEFILE.read_text(encoding="utf-8").splitlines())
    assert count < 60, f"{count} lines: rules belong in workflow/rules, helpers in common.smk"


def test_every_rule_file_is_included():
    text = SNAKEFILE.read_text(encoding="utf-8")
    missing = [path.name for path in RULE_FILES if f"workflow/rules/{path.name}" not in text]
    assert not missing


def test_common_holds_helpers_only():
    assert [rule.name for rule in RULES if rule.file.name == "common.smk"] == []


@per_job
def test_rule_says_in_one_sentence_what_it_does(rule):
    assert rule.docstring.strip(), "write a docstring: snakemake --list-rules prints it"
    assert "\n" not in rule.docstring.strip(), "one line is what --list-rules prints"


@per_job
def test_rule_has_every_directive(rule):
    needed = {"output", "log", "benchmark", "conda", "threads", "resources", "params", "script"}
    missing = sorted(needed - rule.directives.keys())
    assert not missing, f"{rule.file.name} line {rule.line}: {', '.join(missing)}"


@per_job
def test_rule_reserves_memory_and_time(rule):
    missing = {"mem_mb", "runtime"} - set(rule.keywords("resources"))
    assert not missing


@per_job
def test_params_are_settings_and_version(rule):
    assert sorted(rule.keywords("params")) == ["settings", "version"], (
        "Snakemake compares params as a set of values without names: every setting belongs into "
        "one dict"
    )
    assert not rule.directives["params"].args


@per_job
def test_inputs_and_outputs_have_names(rule):
    for directive in {"input", "output"} & rule.directives.keys():
        unnamed = rule.directives[directive].args
        allowed = [
            a for a in unnamed if isinstance(a, ast.Call) and ast.unparse(a.func) == "unpack"
        ]
        assert unnamed == allowed, f"{directive}: {[ast.unparse(a) for a in unnamed]}"


@per_job
def test_script_and_environment_exist(rule):
    assert rule.path("script").is_file()
    assert rule.path("script").parent == ROOT / "workflow" / "scripts"
    assert rule.path("conda") == ROOT / "envs" / "sparsight.yaml"
    assert rule.path("conda").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_run_by_a_rule(script):
    assert script in {rule.path("script") for rule in JOBS if "script" in rule.directives}


def report_calls(rule):
    """Every `report(...)` among a rule's outputs."""
    found = (n for n in ast.walk(rule.directives["output"]) if isinstance(n, ast.Call))
    return [call for call in found if ast.unparse(call.func) == "report"]


def reported(rule, keyword):
    """What a rule's outputs in the report give for a keyword."""
    words = (word for call in report_calls(rule) for word in call.keywords)
    return [ast.literal_eval(word.value) for word in words if word.arg == keyword]


@per_job
def test_what_is_in_the_report_has_caption_category_and_labels(rule):
    for call in report_calls(rule):
        assert {word.arg for word in call.keywords} == {"caption", "category", "labels"}
    for caption in reported(rule, "caption"):
        assert (rule.file.parent / caption).resolve().is_file()


def test_categories_of_the_report_come_in_the_order_of_reading():
    # Snakemake sorts them by name
    assert sorted({c for rule in JOBS for c in reported(rule, "category")}) == CATEGORIES


def test_labels_tell_apart_what_one_category_holds():
    # Snakemake makes one table of a category's labels, a column for each
    for category in CATEGORIES:
        rules = [rule for rule in JOBS if category in reported(rule, "category")]
        labels = [tuple(sorted(found.items())) for r in rules for found in reported(r, "labels")]
        assert len(labels) == len(set(labels)), category


# --- profiles


@pytest.fixture(scope="module")
def options():
    """Names of Snakemake's options as a profile writes them."""
    from snakemake.cli import get_argument_parser

    strings = (name for action in get_argument_parser()._actions for name in action.option_strings)
    return {name.removeprefix("--") for name in strings if name.startswith("--")}


def content_of(profile):
    return yaml.safe_load((profile / PROFILE_NAME).read_text(encoding="utf-8"))


def rules_named_in(content):
    """Rules for which a profile sets threads or resources."""
    for key in ("set-resources", "set-threads"):
        entries = content.get(key) or {}
        yield from (re.split(r"[:=]", entry)[0] for entry in entries)


def uncommented(text):
    """Top-level keys without a comment line above."""
    lines = ["", *text.splitlines()]
    return [
        line.partition(":")[0]
        for above, line in itertools.pairwise(lines)
        if re.match(r"[\w-]+:", line) and not above.startswith("#")
    ]


@per_profile
def test_profile_keys_are_options_of_snakemake(profile, options):
    unknown = sorted(content_of(profile).keys() - options)
    assert not unknown, f"Snakemake ignores these in silence: {', '.join(unknown)}"


@per_profile
def test_profile_names_rules_that_exist(profile):
    unknown = set(rules_named_in(content_of(profile))) - {rule.name for rule in RULES}
    assert not unknown, f"Snakemake ignores these in silence: {', '.join(sorted(unknown))}"


@per_profile
def test_profile_entries_have_comments(profile):
    assert uncommented((profile / PROFILE_NAME).read_text(encoding="utf-8")) == []


@per_profile
def test_profile_folder_holds_the_profile_only(profile):
    assert [path.name for path in profile.iterdir()] == [PROFILE_NAME]


@per_profile
def test_profile_goes_by_content_and_not_by_file_time_of_code(profile):
    assert set(content_of(profile)["rerun-triggers"]) == {
        "mtime",
        "params",
        "input",
        "software-env",
    }


# --- the rules above can fail

EXAMPLE = '''\
include: "x.smk"


rule all:
    input:
        collect("a/{x}", x=XS),


rule prune_level:
    """Prune one level: the masks are nested."""
    input:
        unpack(extra),
        # a comment: with a colon
        weights=previous_checkpoint,
    output:
        "a/b",
        table=report("a/c", caption="x.rst", category="1 Claims"),
    params:
        settings=lambda wildcards: {"a": 1},
        version=version_of("prune_level.py", ["pruning"]),
    resources:
        mem_mb=1000,
    threads: 1
    conda:
        "../../envs/sparsight.yaml"
    script:
        "../scripts/prune_level.py"


def helper(x):
    return {"output": x}
'''


def test_rules_are_read():
    target, job = rules_in(EXAMPLE, ROOT / "workflow" / "rules" / "x.smk")
    assert (target.name, target.is_target, target.docstring) == ("all", True, "")
    assert (job.name, job.is_target, job.line) == ("prune_level", False, 9)
    assert job.docstring == "Prune one level: the masks are nested."
    assert " ".join(job.directives) == "input output params resources threads conda script"
    assert job.keywords("params") == ["settings", "version"]
    assert job.path("script") == ROOT / "workflow" / "scripts" / "prune_level.py"


def test_outputs_in_the_report_are_read():
    _, job = rules_in(EXAMPLE)
    assert len(report_calls(job)) == 1
    assert reported(job, "category") == ["1 Claims"]
    assert reported(job, "labels") == []


def test_rules_named_in_a_profile_are_read():
    mappings = {"set-resources": {"a": {"mem_mb": 1}}, "set-threads": {"b": 2}}
    lists = {"set-resources": ["a:mem_mb=1"], "set-threads": ["b=2"]}
    assert [*rules_named_in(mappings)] == [*rules_named_in(lists)] == ["a", "b"]


def test_uncommented_entries_are_found():
    assert uncommented("# why\ncores: 1\njobs: 2\nlist:\n  - x\n# y\nquiet: all\n") == [
        "jobs",
        "list",
    ]


def test_misspelt_option_is_found(options):
    assert "rerun-incomplete" in options
    assert "slurm-status-command" in options
    assert "rerun-incomplet" not in options
