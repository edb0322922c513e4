"""What the user did or gave that cannot be used."""


class InputError(ValueError):
    """Bad input. The message is one sentence that names the file or key and the remedy."""


class CorruptFile(InputError):
    """A file whose content does not match its checksum or its format."""


class InvariantError(RuntimeError):
    """A result that breaks an invariant of the method: a defect of the program, not of its user."""
