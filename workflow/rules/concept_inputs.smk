"""Input functions of the rules about concepts."""


def bank_splits(wildcards):
    """Packed files of the data set whose concept labels are used, where it is another one."""
    bank = STUDY.concept_bank(wildcards.dataset)
    if bank == wildcards.dataset:
        return []
    return expand(f"{PACKED}/{{split}}.safetensors", dataset=bank, split=SPLITS)


def concept_files(pattern):
    """A file of every checkpoint and every method that finds concepts in it."""
    return [
        place_path(pattern, place).format(concept=name) for place, name in PLAN.places()
    ]


def drift_files():
    """Drift of all checkpoints that have something to be compared with."""
    return [
        place_path(DRIFT, place).format(concept=name)
        for place, name in PLAN.places()
        if PLAN.is_compared(place, name)
    ]


def reference_findings(ending):
    """An input function: files of the networks that a checkpoint's concepts are compared with."""

    def files(wildcards):
        return [
            place_path(f"{FOUND}{ending}", reference).format(concept=wildcards.concept)
            for reference in STUDY.references(place_of(wildcards))
        ]

    return files


def concepts_of_claims():
    """The table of concepts, where a claim is about them."""
    return [f"{SUMMARY}/concepts.csv"] if PLAN.has_concept_claims() else []


def orders_of_claims():
    """The table of the most important concepts, where a claim is about their order."""
    return [f"{SUMMARY}/concept_tables.csv"] if PLAN.has_order_claims() else []


def concept_pages():
    """The page of tables of the most important concepts, and of what methods note."""
    return [f"{SUMMARY}/concept_tables.html"] if PLAN.names() else []


def atlas_concepts(ending):
    """A file of every checkpoint and method whose concepts the atlas shows."""
    return [
        place_path(f"{FOUND}{ending}", place).format(concept=name)
        for place, name in PLAN.drawn()
    ]


def sheet_findings(which, ending):
    """An input function: a file of the `dense` or the `pruned` network of a sheet of concepts."""

    def files(wildcards):
        pruned = PLAN.sheet_place(wildcards.dataset, wildcards.model, wildcards.pruner)
        place = STUDY.chain(pruned)[0] if which == "dense" else pruned
        return place_path(f"{FOUND}{ending}", place).format(concept=wildcards.concept)

    return files
