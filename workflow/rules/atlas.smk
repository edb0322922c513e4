"""The atlas: pages on which images, maps and concepts are looked at."""


rule atlas:
    """Write the atlas of the study (results/NAME/atlas/index.html)."""
    input:
        page=f"{RESULTS}/atlas",


rule write_atlas:
    """Write pages and data for looking at every image, map and concept, without a server."""
    input:
        evaluations=rules.summarise.output.evaluations,
        packed=expand(f"{PACKED}/test.safetensors", dataset=config["datasets"]),
        predictions=[
            place_path(f"{LEVEL}/predictions.parquet", place)
            for place in STUDY.places()
        ],
        explanations=atlas_maps(),
        controls=atlas_controls(),
        scores=score_files,
        agreement=agreement_files,
        concepts=atlas_concepts(".parquet"),
        concept_arrays=atlas_concepts(".safetensors"),
    output:
        page=directory(f"{RESULTS}/atlas"),
    log:
        f"{RESULTS}/logs/write_atlas.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_atlas.jsonl"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        settings=settings_of(TABLES.atlas),
        version=version_of("write_atlas.py", ["atlas"]),
    script:
        "../scripts/write_atlas.py"
