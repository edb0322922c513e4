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


AT_LEVEL = "{pruner}__level{level}"


def benchmark_file(rule, suffix, place):
    """The benchmark file of a job that works on one checkpoint."""
    return place_path(job_files("benchmarks", rule, f"{suffix}.jsonl"), place)


def data_benchmarks():
    """What fetching, packing and explaining with controls took, once for each data set."""
    controls = {
        (network.dataset, family)
        for network in STUDY.networks()
        for family in STUDY.families(network)
        if family in STUDY.network_free_families()
    }
    return [
        *(
            f"{DATA}/benchmarks/{rule}__{dataset}.jsonl"
            for rule in ("fetch_dataset", "prepare_dataset")
            for dataset in STUDY.prepared_datasets()
        ),
        *(
            f"{RESULTS}/benchmarks/make_controls/{dataset}__{family}.jsonl"
            for dataset, family in sorted(controls)
        ),
    ]


def training_benchmarks():
    """What the rewind points and all trainings took."""
    found = []
    for place in STUDY.places():
        if place.pruner != DENSE:
            given = STUDY.is_given(place.pruner)
            name = "take_level" if given else "prune_level"
            found.append(benchmark_file(name, AT_LEVEL, place))
            continue
        found.append(benchmark_file("make_rewind_point", "start", place))
        pruners = STUDY.network(place.dataset, place.model).pruners
        rewinds = {STUDY.catalogue["pruners"][pruner]["rewind"] for pruner in pruners}
        for rewind in sorted(rewinds):
            if rewind.startswith("epoch:"):
                name = rewind.replace(":", "")
                found.append(benchmark_file("make_epoch_point", name, place))
        found.append(benchmark_file("train_dense", AT_LEVEL, place))
    return found


def explanation_benchmarks():
    """What explaining, scoring and comparing explanations took."""
    found, compared = [], STUDY.agreement_families()
    for place, family in explained_places():
        names = ["score_explanations"]
        if STUDY.sample_pruner(family):
            names.append("explain_pruned_samples")
        elif family not in STUDY.network_free_families():
            names.append("explain_images")
        if family in compared and STUDY.references(place):
            names.append("compare_explanations")
        suffix = f"{AT_LEVEL}__{family}"
        found.extend(benchmark_file(name, suffix, place) for name in names)
    return found


def concept_benchmarks():
    """What the jobs about concepts took."""
    looked_at = dict.fromkeys(place for place, _ in PLAN.places())
    found = [benchmark_file("extract_features", AT_LEVEL, place) for place in looked_at]
    for place, name in PLAN.places():
        names = ["find_concepts"]
        if PLAN.is_compared(place, name):
            names.append("compare_concepts")
        suffix = f"{AT_LEVEL}__{name}"
        found.extend(benchmark_file(rule, suffix, place) for rule in names)
    return found


def sample_benchmarks():
    """What searching sparsities and visualising features took."""
    visualised = [
        Place(network.dataset, network.model, network.seeds[0], DENSE, 0)
        for network in SAMPLES.visualised_networks()
    ]
    searches = {
        *((p, SAMPLES.search_of(STUDY.sample_pruner(f))) for p, f in sample_places()),
        *((p, SAMPLES.search_of(SAMPLES.visualisation_pruner())) for p in visualised),
    }
    return [
        *(
            benchmark_file("search_sparsities", f"{AT_LEVEL}__{name}", place)
            for place, name in sorted(searches)
            if name
        ),
        *(benchmark_file("visualise_features", AT_LEVEL, p) for p in visualised),
    ]
