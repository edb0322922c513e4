"""Tables of a whole study."""


rule summarise:
    """Gather evaluations and scores, and describe every level."""
    input:
        evaluations=evaluation_files,
        scores=score_files,
    output:
        evaluations=f"{SUMMARY}/evaluations.parquet",
        scores=f"{SUMMARY}/scores.parquet",
        levels=f"{SUMMARY}/levels.csv",
    log:
        f"{RESULTS}/logs/summarise.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(TABLES.summary),
        version=version_of("summarise.py", ["summary"]),
    script:
        "../scripts/summarise.py"


rule gather_costs:
    """Gather what every job took: seconds, CPU seconds, memory."""
    input:
        benchmarks=benchmark_files,
    output:
        costs=f"{SUMMARY}/costs.csv",
    log:
        f"{RESULTS}/logs/gather_costs.log",
    benchmark:
        f"{RESULTS}/benchmarks/gather_costs.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=settings_of(TABLES.costs),
        version=version_of("gather_costs.py", ["costs"]),
    script:
        "../scripts/gather_costs.py"


rule write_study_provenance:
    """Write down where the study's numbers come from, and the hash of every table and figure."""
    input:
        provenances=provenance_files,
        files=recorded_files,
        # their wording is found by its commit, so that it does not matter when they were written
        study_files=ancient(study_files()),
    output:
        provenance=f"{SUMMARY}/provenance.json",
    log:
        f"{RESULTS}/logs/write_study_provenance.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_study_provenance.jsonl"
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=settings_of(TABLES.whole),
        version=version_of("write_study_provenance.py", ["provenance"]),
    script:
        "../scripts/write_study_provenance.py"
