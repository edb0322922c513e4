"""Templates of pages, for HTML and Markdown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def templates(package: str, folder: str, *, html: bool = False) -> "Environment":
    """The templates in a folder of a package; a name that a template does not get is an error.

    In HTML, values are escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # late: few jobs write pages

    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
