"""Statistics: one resampling of images for each chain, and the tables made from it."""


rule resample_images:
    """Describe a chain's levels by subset, and resample their images with one draw for all."""
    input:
        scores=chain_files(f"{LEVEL}/scores/{{family}}.parquet"),
        predictions=chain_files(f"{LEVEL}/predictions.parquet"),
        dense_predictions=f"{NETWORK}/{DENSE}/level00/predictions.parquet",
    output:
        statistics=f"{CHAIN}/statistics.parquet",
    log:
        job_files("logs", "resample_images", "{pruner}.log"),
    benchmark:
        job_files("benchmarks", "resample_images", "{pruner}.jsonl")
    wildcard_constraints:
        pruner=one_of(config["pruners"]),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(240),
    params:
        settings=settings_of(TABLES.resampling, "dataset", "model", "seed", "pruner"),
        version=version_of("resample_images.py", ["resampling"]),
    script:
        "../scripts/resample_images.py"


rule contrast:
    """Hold every level against the dense networks, with the network as unit."""
    input:
        evaluations=rules.summarise.output.evaluations,
        statistics=of_all_chains(f"{CHAIN}/statistics.parquet"),
    output:
        contrasts=f"{SUMMARY}/contrasts.csv",
    log:
        f"{RESULTS}/logs/contrast.log",
    benchmark:
        f"{RESULTS}/benchmarks/contrast.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.contrasts),
        version=version_of("contrast.py", ["contrasts"]),
    script:
        "../scripts/contrast.py"


rule compare_predictions:
    """Compare correct with incorrect predictions, matched on the label."""
    input:
        evaluations=rules.summarise.output.evaluations,
        statistics=of_all_chains(f"{CHAIN}/statistics.parquet"),
    output:
        correctness=f"{SUMMARY}/correctness.csv",
    log:
        f"{RESULTS}/logs/compare_predictions.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_predictions.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.contrasts),
        version=version_of("compare_predictions.py", ["correctness"]),
    script:
        "../scripts/compare_predictions.py"


rule stratify:
    """Hold levels against dense among hard, medium and easy images."""
    input:
        evaluations=rules.summarise.output.evaluations,
        statistics=of_all_chains(f"{CHAIN}/statistics.parquet"),
    output:
        strata=f"{SUMMARY}/strata.csv",
    log:
        f"{RESULTS}/logs/stratify.log",
    benchmark:
        f"{RESULTS}/benchmarks/stratify.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.contrasts),
        version=version_of("stratify.py", ["strata"]),
    script:
        "../scripts/stratify.py"


rule correlate:
    """Correlate every metric with accuracy over levels, next to the controls and as published."""
    input:
        levels=rules.summarise.output.levels,
        statistics=of_all_chains(f"{CHAIN}/statistics.parquet"),
    output:
        correlations=f"{SUMMARY}/correlations.csv",
        gaps=f"{SUMMARY}/control_gaps.csv",
    log:
        f"{RESULTS}/logs/correlate.log",
    benchmark:
        f"{RESULTS}/benchmarks/correlate.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.contrasts),
        version=version_of("correlate.py", ["correlations"]),
    script:
        "../scripts/correlate.py"


rule check_claims:
    """Decide the claims of the study, with networks and images both random."""
    input:
        scores=claim_files(f"{LEVEL}/scores/{{family}}.parquet"),
        predictions=claim_files(f"{LEVEL}/predictions.parquet"),
        evaluations=rules.summarise.output.evaluations,
        agreement=claim_agreement(),
        fidelities=claim_fidelities(),
        concepts=concepts_of_claims(),
        orders=orders_of_claims(),
    output:
        claims=f"{SUMMARY}/claims.csv",
        matrices=claim_matrices(),
    log:
        f"{RESULTS}/logs/check_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_claims.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.claims),
        version=version_of("check_claims.py", ["claims"], TABLES.claim_items),
    script:
        "../scripts/check_claims.py"
