"""Input functions of the rule that writes the study's provenance."""


def study_files():
    """The files that were given as the study, from the folder that Snakemake works in.

    A folder that is moved with its results stays as it is.
    """
    return [os.path.relpath(path) for path in workflow.config_settings.configfiles]


def recorded_files(wildcards):
    """What carries no whole checksum of its own: tables, figures, pages, sparsities.

    The checksums inside parquet files are those of pages; headers and footers have none.
    """
    found = [*rules.summarise.output, *statistics_files(), *rules.gather_costs.output]
    found += [*rules.write_guide.output, *rules.write_methods.output]
    found += of_all_chains(f"{CHAIN}/statistics.parquet")
    found += [*score_files(wildcards), *agreement_files(wildcards)]
    for ending in (".parquet", "_measures.parquet"):
        found += concept_files(f"{FOUND}{ending}")
    found += [*drift_files(), *fidelity_files(wildcards)]
    if config["claims"]:
        found += [rules.draw_claims.output.html, *claim_matrices()]
    if config["concepts"]:
        found += rules.summarise_concepts.output
    for place, family in sample_places():
        if name := SAMPLES.search_of(STUDY.sample_pruner(family)):
            found.append(place_path(SPARSITIES.replace("{sample_pruner}", name), place))
    found += [*figure_files(), *concept_pages(), *MORE]
    # Tables of statistics are outputs of other rules too, and families share sparsities.
    return list(dict.fromkeys(found))
