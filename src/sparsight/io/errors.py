"""What the user did or gave that cannot be used."""


class InputError(ValueError):
    """Bad input. The message is one line that names the file or key and the remedy.

    Names of files and texts out of them may hold line breaks; the message is one line all the same.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class CorruptFile(InputError):
    """A file whose content does not match its checksum or its format."""


class InvariantError(RuntimeError):
    """A result that breaks an invariant of the method: a defect of the program, not of its user."""
