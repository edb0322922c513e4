"""How many levels a correlation takes; nothing heavy is imported, since every start needs it."""

#: of two levels every correlation is 1 or -1
FEWEST_LEVELS = 3
