"""House rules of the Snakefile, the rules and the profiles."""

import ast
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from sparsight.study.report_pages import CATEGORIES
from tests.linters.source_files import (
    ROOT,
    RULE_FILES,
    SCRIPTS,
    listed,
    name_of,
    place,
    text_of,
)

SNAKEFILE = ROOT / "workflow" / "Snakefile"
COMMON = ROOT / "workflow" / "rules" / "common.smk"
PROFILES = sorted(path for path in (ROOT / "profiles").glob("*") if path.is_dir())
PROFILE_NAME = "profile.v9+.yaml"
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

    @property
    def place(self):
        return f"{place(self.file, self.line)}: {self.name}"

    def words(self, directive):
        """Keyword to value of a directive; nothing where the rule does not have it."""
        call = self.directives.get(directive)
        return {word.arg: word.value for word in call.keywords} if call else {}

    def keywords(self, directive):
        return list(self.words(directive))

    def path(self, directive):
        """File that a directive names: relative to the rule file, or by a name of common.smk.

        None where the rule does not have it.
        """
        if directive not in self.directives:
            return None
        (argument,) = self.directives[directive].args
        if isinstance(argument, ast.Name):
            definition = re.search(rf"^{argument.id} = (.*)$", text_of(COMMON), re.M)
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


RULES = [rule for file in RULE_FILES for rule in rules_in(text_of(file), file)]
JOBS = [rule for rule in RULES if not rule.is_target]


def offences(check, rules=JOBS):
    """Everything that a check finds in the rules, with their places."""
    return [f"{rule.place}: {what}" for rule in rules for what in check(rule)]


def test_there_are_rules_scripts_and_profiles():
    # Without this, an empty folder would pass everything below.
    assert JOBS
    assert SCRIPTS
    assert {"default", "gpu", "slurm"} <= {path.name for path in PROFILES}


def test_snakefile_is_a_table_of_contents():
    count = len(text_of(SNAKEFILE).splitlines())
    assert count < 60, f"{count} lines: rules belong in workflow/rules, helpers in common.smk"


def test_every_rule_file_is_included():
    text = text_of(SNAKEFILE)
    missing = [f"rules/{path.name}" for path in RULE_FILES if path != SNAKEFILE]
    missing = [name for name in missing if f'include: "{name}"' not in text]
    assert not missing


def test_common_holds_helpers_only():
    assert [rule.place for rule in RULES if rule.file == COMMON] == []


def wrong_docstring(rule):
    if not rule.docstring.strip():
        yield "write a docstring: snakemake --list-rules prints it"
    if "\n" in rule.docstring.strip():
        yield "one line of a docstring is what --list-rules prints"


def missing_directives(rule):
    needed = {"output", "log", "benchmark", "conda", "threads", "resources", "params", "script"}
    yield from sorted(needed - rule.directives.keys())


def missing_resources(rule):
    yield from sorted({"mem_mb", "runtime"} - set(rule.keywords("resources")))


def wrong_params(rule):
    # What makes a file of entries has them too: objects, which Snakemake does not compare.
    if sorted({*rule.keywords("params")} - {"entries"}) != ["settings", "version"]:
        yield f"has the params {', '.join(rule.keywords('params'))}"
    if "params" in rule.directives and rule.directives["params"].args:
        yield "has params without names"


def unnamed_files(rule):
    for directive in sorted({"input", "output"} & rule.directives.keys()):
        for argument in rule.directives[directive].args:
            if not (isinstance(argument, ast.Call) and ast.unparse(argument.func) == "unpack"):
                yield f"{directive}: {ast.unparse(argument)}"


def wrong_paths(rule):
    script, environment = rule.path("script"), rule.path("conda")
    if script is not None and not (
        script.is_file() and script.parent == ROOT / "workflow" / "scripts"
    ):
        yield f"no script {name_of(script)} in workflow/scripts"
    if environment is not None and environment != ROOT / "envs" / "sparsight.yaml":
        yield f"environment {name_of(environment)}"


def test_rules_say_in_one_sentence_what_they_do():
    found = offences(wrong_docstring)
    assert not found, listed(found)


def test_rules_have_every_directive():
    found = offences(missing_directives)
    assert not found, listed(found, "missing directives")


def test_rules_reserve_memory_and_time():
    found = offences(missing_resources)
    assert not found, listed(found, "missing resources")


def test_params_are_settings_and_version():
    found = offences(wrong_params)
    assert not found, listed(
        found,
        "Snakemake compares params as a set of values without names: every setting belongs into "
        "one dict",
    )


def test_inputs_and_outputs_have_names():
    found = offences(unnamed_files)
    assert not found, listed(found)


def test_scripts_and_the_environment_exist():
    found = offences(wrong_paths)
    assert not found, listed(found)
    assert (ROOT / "envs" / "sparsight.yaml").is_file()


def test_scripts_are_run_by_rules():
    # the recipe of a table with its figure runs call.py
    run = {rule.path("script") for rule in JOBS} | {ROOT / "workflow" / "scripts" / "call.py"}
    assert [name_of(path) for path in SCRIPTS if path not in run] == []


def report_calls(rule):
    """Every `report(...)` among a rule's outputs."""
    if "output" not in rule.directives:
        return []
    found = (n for n in ast.walk(rule.directives["output"]) if isinstance(n, ast.Call))
    return [call for call in found if ast.unparse(call.func) == "report"]


def reported(rule, keyword):
    """What a rule's outputs in the report give for a keyword, where it is no function."""
    words = (word for call in report_calls(rule) for word in call.keywords)
    given = (word.value for word in words if word.arg == keyword)
    return [ast.literal_eval(value) for value in given if not isinstance(value, ast.Name)]


def wrong_entries_of_the_report(rule):
    for call in report_calls(rule):
        keywords = {word.arg for word in call.keywords}
        if keywords - {"patterns"} != {"caption", "category", "labels"}:
            yield f"{ast.unparse(call.args[0])} has {', '.join(sorted(keywords))}"
    for caption in reported(rule, "caption"):
        if not (rule.file.parent / caption).resolve().is_file():
            yield f"no caption {caption}"


def test_what_is_in_the_report_has_caption_category_and_labels():
    found = offences(wrong_entries_of_the_report)
    assert not found, listed(found)


def test_categories_of_the_report_come_in_the_order_of_reading():
    # Snakemake sorts them by name
    assert [*CATEGORIES.values()] == sorted(CATEGORIES.values())
    assert {c for rule in JOBS for c in reported(rule, "category")} <= {*CATEGORIES.values()}


def test_labels_tell_apart_what_one_category_holds():
    # Snakemake makes one table of a category's labels, a column for each
    for category in CATEGORIES.values():
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
    return yaml.safe_load(text_of(profile / PROFILE_NAME))


def rules_named_in(content):
    """Rules for which a profile sets threads or resources."""
    for key in ("set-resources", "set-threads"):
        entries = content.get(key) or {}
        yield from (re.split(r"[:=]", entry)[0] for entry in entries)


def uncommented(text):
    """Top-level keys without a comment line above, with their lines."""
    lines = ["", *text.splitlines()]
    return [
        (number, line.partition(":")[0])
        for number, (above, line) in enumerate(itertools.pairwise(lines), 1)
        if re.match(r"[\w-]+:", line) and not above.startswith("#")
    ]


def place_in_profile(profile, word):
    """Line of the first mention of a word."""
    path = profile / PROFILE_NAME
    lines = text_of(path).splitlines()
    whole = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
    number = next((n for n, line in enumerate(lines, 1) if whole.search(line)), 1)
    return f"{place(path, number)}: {word}"


def test_profile_keys_are_options_of_snakemake(options):
    found = [
        place_in_profile(profile, key)
        for profile in PROFILES
        for key in sorted(content_of(profile).keys() - options)
    ]
    assert not found, listed(found, "Snakemake ignores these in silence")


def test_profiles_name_rules_that_exist():
    known = {rule.name for rule in RULES}
    found = [
        place_in_profile(profile, name)
        for profile in PROFILES
        for name in sorted({*rules_named_in(content_of(profile))} - known)
    ]
    assert not found, listed(found, "Snakemake ignores these in silence")


def test_profile_entries_have_comments():
    found = [
        f"{place(path, line)}: {key}"
        for path in (profile / PROFILE_NAME for profile in PROFILES)
        for line, key in uncommented(text_of(path))
    ]
    assert not found, listed(found)


def test_profile_folders_hold_the_profile_only():
    inside = [path for profile in PROFILES for path in profile.iterdir()]
    assert [name_of(path) for path in inside if path.name != PROFILE_NAME] == []
    assert len(inside) == len(PROFILES)


def test_profiles_go_by_content_and_not_by_file_time_of_code():
    triggers = {"mtime", "params", "input", "software-env"}
    found = [
        place_in_profile(profile, "rerun-triggers")
        for profile in PROFILES
        if {*content_of(profile)["rerun-triggers"]} != triggers
    ]
    assert not found, listed(found)


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


def test_what_is_wrong_with_a_rule_is_found():
    target, job = rules_in(EXAMPLE, ROOT / "workflow" / "rules" / "x.smk")
    assert [*wrong_docstring(job)] == [*wrong_params(job)] == [*wrong_paths(job)] == []
    assert len([*wrong_docstring(target)]) == 1
    assert [*missing_directives(job)] == ["benchmark", "log"]
    assert [*missing_resources(job)] == ["runtime"]
    assert [*unnamed_files(job)] == ["output: 'a/b'"]
    assert [*wrong_entries_of_the_report(job)] == [
        "'a/c' has caption, category",
        "no caption x.rst",
    ]
    other = EXAMPLE.replace("settings=", "setting=").replace('prune_level.py"\n', 'none.py"\n')
    _, job = rules_in(other, ROOT / "workflow" / "rules" / "x.smk")
    assert [*wrong_params(job)] == ["has the params setting, version"]
    assert [*wrong_paths(job)] == ["no script workflow/scripts/none.py in workflow/scripts"]


def test_rules_named_in_a_profile_are_read():
    mappings = {"set-resources": {"a": {"mem_mb": 1}}, "set-threads": {"b": 2}}
    lists = {"set-resources": ["a:mem_mb=1"], "set-threads": ["b=2"]}
    assert [*rules_named_in(mappings)] == [*rules_named_in(lists)] == ["a", "b"]


def test_uncommented_entries_are_found():
    assert uncommented("# why\ncores: 1\njobs: 2\nlist:\n  - x\n# y\nquiet: all\n") == [
        (3, "jobs"),
        (4, "list"),
    ]


def test_misspelt_option_is_found(options):
    assert "rerun-incomplete" in options
    assert "slurm-status-command" in options
    assert "rerun-incomplet" not in options
