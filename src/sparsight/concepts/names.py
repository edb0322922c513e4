"""Names of concepts; nothing heavy is imported, since checks of configurations need them."""

#: between the names of concepts that no training image of the bank tells apart
SAME = " = "
