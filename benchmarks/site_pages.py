"""What mkdocs does not do for the documentation site by itself: `mkdocs.yml` names this file.

Pages are those of the repository, at their places in it, so that the links between them, which also
work on code hosts and in editors, need no change.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from griffe import Extension
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
#: pages that no page links to
FIRST = ("README.md", "CHANGELOG.md", "config/README.md")
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the pages of docs/ below docs/, and add the front page and whatever pages link to."""
    for file in [one for one in files if one.src_dir == config.docs_dir]:
        files.remove(file)
        files.append(_file(f"docs/{file.src_uri}", config))
    waiting = [*FIRST, *(uri for uri in files.src_uris if uri.startswith("docs/"))]
    while waiting:
        uri = waiting.pop()
        if uri not in files.src_uris:
            files.append(_file(uri, config))
        if uri.endswith(".md"):
            linked = _LINK.findall(linked_by_name(uri, files.src_uris[uri].content_string))
            inside = (
                posixpath.normpath(posixpath.join(posixpath.dirname(uri), to)) for to in linked
            )
            waiting += [to for to in inside if to not in files.src_uris and (ROOT / to).is_file()]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to folders and notebooks lead to pages."""
    return linked_by_name(page.file.src_uri, markdown)


def linked_by_name(uri: str, text: str) -> str:
    """A page in which a link to a folder names its README, one to a notebook its page."""

    def name(link: re.Match[str]) -> str:
        target = link[0]
        is_folder = (ROOT / posixpath.dirname(uri) / target / "README.md").is_file()
        return f"{target}/README.md" if is_folder else re.sub(r"\.ipynb$", ".md", target)

    return _LINK.sub(name, text)


def _file(uri: str, config: MkDocsConfig) -> File:
    """A file of the repository; of a notebook its page."""
    path = ROOT / uri
    if path.suffix == ".ipynb":
        page = uri.removesuffix(".ipynb") + ".md"
        return File.generated(config, page, content=notebook_page(path.read_text(encoding="utf-8")))
    return File.generated(config, uri, abs_src_path=str(path))


def notebook_page(text: str) -> str:
    """Markdown of a notebook: its text, its code, and the tables and pictures that this gave."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"]).strip()
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output["data"]
            if "image/png" in data:
                picture = "".join(data["image/png"]).strip()
                parts.append(f"![What the code above shows](data:image/png;base64,{picture})")
            else:
                table = re.sub(
                    r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL
                )
                parts.append(re.sub(r"\n\s*", "", table))
    return "\n\n".join(parts)


class Docstrings(Extension):
    """Docstrings as Markdown: `name : what it is` is a list here, and not a name and a type."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = docstring_page(obj.docstring.value)


def docstring_page(text: str) -> str:
    """A docstring with its headed sections as paragraphs and lists."""
    before, *sections = re.split(r"^(.+)\n-{3,}$\n", text, flags=re.MULTILINE)
    examples = r"(?:^(?:>>>|\.\.\.) .*\n?(?:^(?!>>>).+\n?)*)+"
    before = re.sub(r" +# doctest: \+SKIP", "", before)
    before = re.sub(examples, r"```pycon\n\g<0>```\n", before, flags=re.MULTILINE)
    parts = [before.strip()]
    for heading, body in zip(sections[::2], sections[1::2], strict=True):
        items = re.sub(r"^(\w[\w, *]*) : ", r"* `\1`: ", body.strip(), flags=re.MULTILINE)
        parts.append(f"**{heading}**\n\n{items}")
    return "\n\n".join(parts)
