"""How many bad inputs a run has tried, and what came of each."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsight.io.errors import InputError

#: what no user should have to read
NOISE = (
    *("Traceback", "<class", "<function", "<module", "object at 0x", "errno.", "\ufffd"),
    # jsonschema's own words
    *("under any of the given schemas", "should not be valid under", "is valid under each of"),
    *("is not of type", "is a required property", "Additional properties", "Unevaluated "),
    *("does not contain items", "is not one of", "has non-unique elements", "is a dependency of"),
)
LONGEST = 1000


@dataclass
class Tried:
    """What bad inputs have led to.

    Attributes
    ----------
    messages : inputs that were refused with an error message.
    tracebacks : inputs that ended in any other exception.
    harmless : mutated inputs that were still valid, and were taken.
    """

    messages: int = 0
    tracebacks: int = 0
    harmless: int = 0

    @property
    def bad(self) -> int:
        """All inputs but the harmless ones."""
        return self.messages + self.tracebacks

    def __call__(
        self, call: Callable[[], Any], named: Collection[str], watched: Path | None = None
    ) -> str | None:
        """The sentence that an input is refused with, or None where it is taken.

        Parameters
        ----------
        call : what gives the input to the program.
        named : texts of which the sentence must hold one: the file, its folder, its data set.
        watched : folder in which a refused input must leave everything as it was.
        """
        before = None if watched is None else listing(watched)
        try:
            call()
        except InputError as error:
            sentence = str(error)
        except BaseException:
            self.tracebacks += 1
            raise
        else:
            self.harmless += 1
            return None
        self.messages += 1
        check_sentence(sentence, named)
        if watched is not None:
            assert listing(watched) == before, f"something was written before: {sentence}"
        return sentence

    def refused(
        self, call: Callable[[], Any], named: Collection[str], watched: Path | None = None
    ) -> str:
        """The sentence that an input must be refused with."""
        sentence = self(call, named, watched)
        assert sentence is not None, "it was taken"
        return sentence


def check_sentence(sentence: str, named: Collection[str] = ()) -> None:
    """Whether a sentence can be read, and names what it must.

    Raises
    ------
    AssertionError
        When it is empty, of several lines, too long, full of Python, or names none of `named`.
    """
    assert isinstance(sentence, str)
    assert len(sentence.strip()) > 10, repr(sentence)
    assert len(sentence.splitlines()) == 1, repr(sentence)
    assert len(sentence) <= LONGEST, sentence
    assert not [noise for noise in NOISE if noise in sentence], sentence
    assert not named or any(name in sentence for name in named), f"{sentence} names none of {named}"


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, hidden or not, with its size and the time of its last change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        is_folder = path.is_dir() and not path.is_symlink()
        # A folder's own time changes when a temporary file comes and goes.
        found[str(path)] = (-1, 0) if is_folder else (facts.st_size, facts.st_mtime_ns)
    return found
