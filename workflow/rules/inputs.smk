"""Input functions of the rules, and the files of the whole study."""


def place_path(pattern, place):
    """A checkpoint's path for a pattern with its wildcards."""
    return pattern.format(
        dataset=place.dataset,
        model=place.model,
        seed=place.seed,
        pruner=place.pruner,
        level=f"{place.level:02d}",
        family="{family}",
        concept="{concept}",
    )


def place_of(wildcards, level=None):
    """The checkpoint that a job works on; with `level`, that of its pruner at another level."""
    return Place(
        wildcards.dataset,
        wildcards.model,
        int(wildcards.seed),
        wildcards.pruner,
        int(wildcards.level if level is None else level),
    )


def families_of(place):
    """The families of explainers of a checkpoint's network."""
    return STUDY.families(STUDY.network(place.dataset, place.model))


def explained_places():
    """Every checkpoint with each family that is explained there."""
    return [
        (place, family)
        for place in STUDY.places()
        for family in families_of(place)
        if STUDY.explains(family, place.pruner, place.level)
    ]


def initial_weights(wildcards):
    """The file with a model's initial weights, or its manifest; nothing where they are drawn."""
    name = STUDY.initial_weights(wildcards.model, int(wildcards.seed))
    if STUDY.imagenet_weights(wildcards.model):
        return f"{DATA}/fetched/weights/{STUDY.imagenet_weights(wildcards.model)}.json"
    # What a package holds has no path of its own; the job finds it.
    return [] if name == "random" or name.startswith(PACKAGE) else name


def pretraining_splits(wildcards):
    """The packed splits of the data set on which a model is trained first."""
    dataset = STUDY.pretraining_dataset(wildcards.model)
    return (
        expand(rules.prepare_dataset.output.splits, dataset=dataset) if dataset else []
    )


def start_files(wildcards):
    """The files with the rewind points that a pruner's rounds need."""
    rewind = STUDY.catalogue["pruners"][wildcards.pruner]["rewind"]
    kind, _, epoch = rewind.partition(":")
    name = f"start_epoch{epoch}" if kind == "epoch" else "start"
    return f"{NETWORK}/{name}.safetensors".format_map(wildcards)


def previous_checkpoint(wildcards):
    """The level before; dense for the first level and for pruners that prune in one shot."""
    level = STUDY.predecessor(wildcards.pruner, int(wildcards.level))
    pruner = wildcards.pruner if level else DENSE
    folder = f"{NETWORK}/{pruner}/level{level:02d}".format_map(wildcards)
    return f"{folder}/checkpoint.safetensors"


def given_files(wildcards):
    """The files of a level that another tool has made."""
    return STUDY.given_files(
        wildcards.pruner, int(wildcards.level), int(wildcards.seed)
    )


def teacher_checkpoint(wildcards):
    """The dense network, where a pruner's rounds learn from it."""
    if "teacher" not in config["catalogue"]["pruners"][wildcards.pruner]:
        return []
    return f"{NETWORK}/{DENSE}/level00/checkpoint.safetensors".format_map(wildcards)


def explanations(wildcards):
    """A checkpoint's explanations of a family; those of controls belong to the data set."""
    once = wildcards.family in STUDY.network_free_families()
    pattern = CONTROLS if once else f"{LEVEL}/explanations/{{family}}.safetensors"
    return pattern.format_map(wildcards)


def dense_predictions(wildcards):
    """The dense parent's predictions, where they are the explained classes."""
    if STUDY.explaining(wildcards.family)["target"] != "dense_predicted":
        return []
    return f"{NETWORK}/{DENSE}/level00/predictions.parquet".format_map(wildcards)


def evaluation_files(wildcards):
    """Evaluations of all checkpoints."""
    return [place_path(f"{LEVEL}/evaluation.json", place) for place in STUDY.places()]


def provenance_files(wildcards):
    """Provenances of all checkpoints."""
    return [place_path(f"{LEVEL}/provenance.json", place) for place in STUDY.places()]


def score_files(wildcards):
    """Scores of all checkpoints and of all families that are explained there."""
    return [
        place_path(f"{LEVEL}/scores/{family}.parquet", place)
        for place, family in explained_places()
    ]


def chain_files(pattern):
    """An input function: files of the checkpoints of a chain, level 00 (dense) first."""

    def files(wildcards):
        end = place_of(wildcards, STUDY.level_count(wildcards.pruner))
        return [
            place_path(pattern, place).format(family=family)
            for place in STUDY.chain(end)
            for family in (families_of(place) if "{family}" in pattern else [""])
            if not family or STUDY.explains(family, place.pruner, place.level)
        ]

    return files


def of_all_chains(pattern):
    """A file of each chain of the study."""
    return [place_path(pattern, end) for end in STUDY.chains()]


def claim_files(pattern):
    """Files of the checkpoints that claims are about, of families with their explainers."""
    names = TABLES.claim_explainers()
    return [
        place_path(pattern, place).format(family=family)
        for place in TABLES.claim_places()
        for family, explainers in (
            families_of(place).items() if "{family}" in pattern else [("", names)]
        )
        if not family
        or names.intersection(explainers)
        and STUDY.explains(family, place.pruner, place.level)
    ]


def claim_agreement():
    """Files of agreement with the dense parent, where a claim is about it."""
    if not TABLES.has_agreement_claims():
        return []
    names = TABLES.claim_explainers()
    return [
        place_path(f"{LEVEL}/agreement/{family}.parquet", place)
        for place in TABLES.claim_places()
        for family, explainers in families_of(place).items()
        if names.intersection(explainers) and family in STUDY.agreement_families()
        if STUDY.explains(family, place.pruner, place.level)
        if place.pruner != DENSE and STUDY.references(place)
    ]


def claim_matrices():
    """What each image says of each claim; a pooled claim rests on others."""
    names = [claim["name"] for claim in config["claims"] if claim["test"] != "pooled"]
    return [f"{SUMMARY}/claims/{name}.parquet" for name in names]


def reference_explanations(wildcards):
    """Explanations of the networks that a checkpoint's are compared with."""
    pattern = f"{LEVEL}/explanations/{wildcards.family}.safetensors"
    references = STUDY.references(place_of(wildcards))
    return [place_path(pattern, reference) for reference in references]


def compared_explanations(wildcards):
    """A checkpoint's explanations, and those that they are compared with."""
    return [explanations(wildcards), *reference_explanations(wildcards)]


def agreement_files(wildcards):
    """Agreement of all checkpoints that have something to be compared with."""
    compared = STUDY.agreement_families()
    return [
        place_path(f"{LEVEL}/agreement/{family}.parquet", place)
        for place, family in explained_places()
        if family in compared and STUDY.references(place)
    ]


def sheet_places(wildcards):
    """The checkpoints in a sheet of heatmaps: one network, of the first seed, at some levels."""
    wanted = STUDY.sheet_levels(wildcards.pruner)
    return [
        place
        for place in STUDY.places()
        if (place.dataset, place.model) == (wildcards.dataset, wildcards.model)
        and place.seed == STUDY.network(place.dataset, place.model).seeds[0]
        and place.pruner in (DENSE, wildcards.pruner)
        and place.level in wanted
    ]


def sheet_evaluations(wildcards):
    """Evaluations of the checkpoints in a sheet."""
    return [
        place_path(f"{LEVEL}/evaluation.json", place)
        for place in sheet_places(wildcards)
    ]


def sheet_explanations(wildcards):
    """Explanations in a sheet, of all families that need a network."""
    return [
        place_path(f"{LEVEL}/explanations/{family}.safetensors", place)
        for place in sheet_places(wildcards)
        for family in families_of(place)
        if family in STUDY.families_on_networks()
        and STUDY.explains(family, place.pruner, place.level)
    ]


def sheet_controls(wildcards):
    """Explanations of the controls of a data set."""
    return expand(
        CONTROLS, dataset=wildcards.dataset, family=STUDY.network_free_families()
    )


def atlas_maps():
    """All stored maps that look at a network, in the order of the settings of the atlas."""
    return [
        place_path(f"{LEVEL}/explanations/{family}.safetensors", place)
        for place, family in STUDY.explained_places()
    ]


def atlas_controls():
    """Maps of all controls, in the order of the settings of the atlas."""
    return [
        CONTROLS.format(dataset=dataset, family=family)
        for dataset, family in STUDY.controlled_datasets()
    ]


def statistics_files():
    """The tables of statistics that the study asks for."""
    names = ["contrasts", "correctness", "strata", "correlations", "control_gaps"]
    if STUDY.agreement_families():
        names.append("agreement")
    if config["pruners"]:
        names.append("class_harm")
    if any(STUDY.compares_pruners(network) for network in STUDY.networks()):
        names.append("equal_accuracy")
    if TABLES.step_metrics():
        names.append("curves")
    if config["claims"]:
        names.append("claims")
    if config["concepts"]:
        names.append("concepts")
    if STUDY.sample_families():
        names.append("sample_pruning")
    if SAMPLES.draws_toy():
        names.append("sample_pruning_toy")
    # Without a pruned network no prediction flips.
    exemplars = [f"{SUMMARY}/exemplars.parquet"] if config["pruners"] else []
    return [*(f"{SUMMARY}/{name}.csv" for name in names), *exemplars]


def reference_claims():
    """The claims of the references that come with the project."""
    folder = WORKFLOW.parent / "results" / "reference"
    return sorted(str(path) for path in folder.glob("*/claims.csv"))


def figure_names(network):
    """Names of a network's figures, below the folder of figures and without their suffix."""
    curves = STUDY.pruning_pruners(network)
    if not curves:
        # Without a pruned level there is nothing to draw against level or density.
        return []
    suffixes = {
        "metrics": network.metrics,
        "contrasts": DRAWN.headline_metrics(network),
        "strata": DRAWN.headline_metrics(network),
        "correctness": DRAWN.headline_metrics(network),
        "agreement": config["agreement"] if STUDY.agreement_families() else [],
        "equal_accuracy": (
            config["agreement"] if STUDY.compares_pruners(network) else []
        ),
        "checkpoints": (config["agreement"] if STUDY.compares_pruners(network) else []),
        "curves": DRAWN.step_metrics(network),
        # Where no level of a pruner is explained, there is no sheet.
        "heatmaps": [pruner for pruner in curves if STUDY.sheet_levels(pruner)],
        "concepts": PLAN.names(network),
        "concept_sheets": [
            f"{pruner}__{concept}"
            for pruner in PLAN.sheet_pruners(network)
            for concept in PLAN.sheets(network)
        ],
    }
    name = f"{network.dataset}__{network.model}"
    whole = ["accuracy"]
    # What is explained in dense networks alone has no curve; two levels have no correlation.
    levels = STUDY.explained_levels(network)
    if levels < 2:
        suffixes = {
            folder: suffixes[folder]
            for folder in ("heatmaps", "concepts", "concept_sheets")
        }
    if levels >= FEWEST_LEVELS:
        whole += ["correlations", "correlation_tables"]
    return [
        *(
            f"{folder}/{name}__{suffix}"
            for folder in suffixes
            for suffix in suffixes[folder]
        ),
        *(f"{folder}/{name}" for folder in whole),
    ]


def figure_files():
    """Every figure of the study, as svg and png."""
    names = [name for network in STUDY.networks() for name in figure_names(network)]
    names += [
        f"sample_pruning/{network.dataset}__{network.model}"
        for network in STUDY.networks()
        if SAMPLES.pairs(network)
    ]
    names += [
        f"visualisation/{network.dataset}__{network.model}"
        for network in SAMPLES.visualised_networks()
    ]
    if SAMPLES.draws_toy():
        names.append("sample_pruning_toy")
    if config["claims"]:
        names.append("claims")
    return [f"{FIGURES}/{name}.{suffix}" for name in names for suffix in ("svg", "png")]
