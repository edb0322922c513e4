"""Keys of a claim in the configuration; nothing heavy is imported, since every start needs them."""

#: keys that every claim may have; those of its test come on top
COMMON_KEYS = (
    *("name", "claim", "test", "dataset", "model", "pruner"),
    *("explainer", "metric", "condition", "subset", "published"),
)
#: what a claim can be about besides metrics
ACCURACY_MEASURE = "accuracy"
