"""Input functions of the rules about pruned copies, and files of all of them."""

SPARSITIES = f"{LEVEL}/spade/{{sample_pruner}}_sparsities.json"
FIDELITY = f"{LEVEL}/spade/{{family}}.parquet"
PICTURES = f"{LEVEL}/spade/visualisation.safetensors"


def calibration_split(wildcards):
    """The packed split on whose images sparsities are searched for."""
    split = SAMPLES.calibration_split(wildcards.sample_pruner)
    return f"{PACKED}/{split}.safetensors".format_map(wildcards)


def searched_sparsities(wildcards):
    """The sparsities of a family's sample pruner, where they were searched for."""
    name = SAMPLES.search_of(STUDY.sample_pruner(wildcards.family))
    return SPARSITIES.format(**wildcards, sample_pruner=name) if name else []


def pruning_memory(wildcards):
    """Memory of a job that prunes for samples, in MB: it grows with the configured one."""
    name = wildcards.get("sample_pruner") or STUDY.sample_pruner(wildcards.family)
    return SAMPLES.megabytes(name)


def sample_places():
    """Checkpoints and families that run on pruned copies."""
    return [
        (place, family)
        for place, family in explained_places()
        if STUDY.sample_pruner(family)
    ]


def paired_scores(wildcards):
    """Scores on pruned copies, and those of the same explainers on the networks themselves."""
    # Several sample pruners share the scores of one family on the network.
    return sorted(
        {
            place_path(f"{LEVEL}/scores/{name}.parquet", place)
            for place, family in sample_places()
            for name in (family, SAMPLES.unpruned_family(family))
        }
    )


def fidelity_files(wildcards):
    """Fidelity of all pruned copies."""
    return [
        place_path(FIDELITY, place).format(family=family)
        for place, family in sample_places()
    ]


def claim_fidelities():
    """Fidelity of the copies that claims are about."""
    pruners = {name for names in TABLES.claim_copies().values() for name in names}
    places = TABLES.claim_places() if pruners else []
    return [
        place_path(FIDELITY, place).format(family=family)
        for place, family in sample_places()
        if place in places and STUDY.sample_pruner(family) in pruners
    ]


def visualisation_sparsities(wildcards):
    """The sparsities of the sample pruner, where they were searched for."""
    name = SAMPLES.search_of(SAMPLES.visualisation_pruner())
    return SPARSITIES.format(**wildcards, sample_pruner=name) if name else []


def shown_pictures(wildcards):
    """The pictures in a sheet: of the dense network of the first seed."""
    seed = STUDY.network(wildcards.dataset, wildcards.model).seeds[0]
    return place_path(
        PICTURES, Place(wildcards.dataset, wildcards.model, seed, DENSE, 0)
    )
