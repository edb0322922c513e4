"""The splits of every packed data set, in their order.

Light on purpose: the workflow asks before any job starts, when importing numpy would cost time.
"""

#: One file each. A split that a data set does not have is a file without images, so that every job
#: finds the same files whatever the source: the outputs of a rule cannot depend on its wildcards.
SPLITS = ("train", "validation", "test")
#: those that every source has
REQUIRED = ("train", "test")
