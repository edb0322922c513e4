"""The network architectures by name."""

import hashlib
import re
from pathlib import Path
from typing import Any

from sparsight.registration import Item, Registry, UnknownName

#: a function in a file of the user's own
_FACTORY = re.compile(r"(?P<path>.+\.py):(?P<function>[A-Za-z_]\w*)")
#: libraries whose networks are built by name
LIBRARIES = ("timm", "torchvision")
#: where networks that are not the project's own are built
_FOREIGN = "sparsight.models.foreign:ForeignArchitecture"


def factory_of(name: str) -> tuple[str, str] | None:
    """Path and function of `PATH/file.py:function`; None for any other name."""
    found = _FACTORY.fullmatch(name)
    return (found["path"], found["function"]) if found else None


class Architectures(Registry):
    """The project's own architectures, those of libraries, and factories of the user's own.

    The facts of a foreign one are not literals: they are found by tracing the network that it
    gives (`sparsight.study.traced`).
    """

    def __contains__(self, name: str) -> bool:
        return factory_of(name) is not None or super().__contains__(name)

    def names(self) -> list[str]:
        """All names, sorted, and the forms of those of others."""
        forms = [f"{library}.<name>" for library in LIBRARIES]
        return [*sorted(self.entries), *forms, "FILE.py:FUNCTION"]

    def _target(self, name: str) -> str:
        return _FOREIGN if factory_of(name) else super()._target(name)

    def load(self, name: str) -> Any:
        """The class of an architecture; for a foreign name, what builds its networks."""
        found = super().load(name)
        return found.func(name) if self.is_foreign(name) else found

    def item(self, name: str) -> Item:
        """What a job that uses `name` depends on: of a file, also its content."""
        found, factory = super().item(name), factory_of(name)
        if factory is not None:
            return found._replace(attribute=f"{factory[1]} {file_digest(factory[0])[:16]}")
        return found._replace(attribute=name) if self.is_foreign(name) else found


def file_digest(path: str) -> str:
    """SHA-256 of a file with a factory, in hexadecimal digits; an `UnknownName` without one."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UnknownName(f"{path} cannot be read ({error.strerror})") from error


MODELS = Architectures(
    "architecture",
    {
        "inception_v3": "sparsight.models.inception:InceptionV3",
        "resnet18": "sparsight.models.resnet:ResNet18",
        "resnet50": "sparsight.models.resnet:ResNet50",
        "thesis_cnn": "sparsight.models.thesis_cnn:ThesisCnn",
    },
    adapters=dict.fromkeys(LIBRARIES, _FOREIGN),
)
