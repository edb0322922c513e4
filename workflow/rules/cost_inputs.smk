"""Input functions about what jobs took.

Files are named here again and not as `rules.….benchmark`: as a module with a prefix, the workflow would
get the prefix twice.
"""


def benchmark_files(wildcards):
    """What the jobs took that fetch, pack, train, explain, score, compare and find concepts.

    Statistics and figures are left out: a change of a plot shall draw that plot again and no more.
    """
    return [
        *data_benchmarks(),
        *training_benchmarks(),
        *explanation_benchmarks(),
        *concept_benchmarks(),
        *sample_benchmarks(),
    ]


def data_benchmarks():
    """What fetching, packing and explaining with controls took, once for each data set."""
    data = [
        f"{DATA}/benchmarks/{name}__{{dataset}}.jsonl"
        for name in ("fetch_dataset", "prepare_dataset")
    ]
    controls = {
        (network.dataset, family)
        for network in STUDY.networks()
        for family in STUDY.families(network)
        if family in STUDY.network_free_families()
    }
    return [
        *expand(data, dataset=STUDY.prepared_datasets()),
        *(
            f"{RESULTS}/benchmarks/make_controls/{dataset}__{family}.jsonl"
            for dataset, family in sorted(controls)
        ),
    ]


def epoch_points(place):
    """Names of the benchmark files of a network's rewind points `epoch:k`."""
    pruners = STUDY.network(place.dataset, place.model).pruners
    rewinds = {STUDY.catalogue["pruners"][pruner]["rewind"] for pruner in pruners}
    return [
        f"epoch{rewind.partition(':')[2]}.jsonl"
        for rewind in sorted(rewinds)
        if rewind.startswith("epoch:")
    ]


def training_benchmarks():
    """What the rewind points, all trainings and the conversion of each chain took."""
    found = []
    start = job_files("benchmarks", "make_rewind_point", "start.jsonl")
    for place in STUDY.places():
        if place.pruner == DENSE:
            found.append(place_path(start, place))
            found += [
                place_path(job_files("benchmarks", "make_epoch_point", name), place)
                for name in epoch_points(place)
            ]
        trained = "train_dense" if place.pruner == DENSE else "prune_level"
        name = "{pruner}__level{level}.jsonl"
        found.append(place_path(job_files("benchmarks", trained, name), place))
    conversion = job_files("benchmarks", "measure_conversion", "{pruner}.jsonl")
    return [*found, *of_all_chains(conversion)]


def explanation_benchmarks():
    """What explaining, scoring and comparing explanations took."""
    found, compared = [], STUDY.agreement_families()
    for place in STUDY.places():
        for family in families_of(place):
            if not STUDY.explains(family, place.pruner, place.level):
                continue
            names = ["score_explanations"]
            if STUDY.sample_pruner(family):
                names.append("explain_pruned_samples")
            elif family not in STUDY.network_free_families():
                names.append("explain_images")
            if family in compared and STUDY.references(place):
                names.append("compare_explanations")
            suffix = f"{{pruner}}__level{{level}}__{family}.jsonl"
            found.extend(
                place_path(job_files("benchmarks", name, suffix), place)
                for name in names
            )
    return found


def concept_benchmarks():
    """What the jobs about concepts took."""
    looked_at = dict.fromkeys(place for place, _ in PLAN.places())
    features = job_files(
        "benchmarks", "extract_features", "{pruner}__level{level}.jsonl"
    )
    found = [place_path(features, place) for place in looked_at]
    for place, name in PLAN.places():
        names = ["find_concepts"]
        if PLAN.is_compared(place, name):
            names.append("compare_concepts")
        suffix = f"{{pruner}}__level{{level}}__{name}.jsonl"
        found.extend(
            place_path(job_files("benchmarks", rule, suffix), place) for rule in names
        )
    return found


def sample_benchmarks():
    """What searching sparsities and visualising features took."""
    searched = {
        (place, SAMPLES.search_of(STUDY.sample_pruner(family)))
        for place, family in sample_places()
    }
    shown = []
    pictures = job_files(
        "benchmarks", "visualise_features", "{pruner}__level{level}.jsonl"
    )
    for network in SAMPLES.visualised_networks():
        place = Place(network.dataset, network.model, network.seeds[0], DENSE, 0)
        searched.add((place, SAMPLES.search_of(SAMPLES.visualisation_pruner())))
        shown.append(place_path(pictures, place))
    searches = [
        place_path(
            job_files(
                "benchmarks",
                "search_sparsities",
                f"{{pruner}}__level{{level}}__{name}.jsonl",
            ),
            place,
        )
        for place, name in sorted(searched)
        if name
    ]
    return [*searches, *shown]
