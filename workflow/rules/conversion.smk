"""Conversion: what an unstructured network really saves once its dead units are removed."""


rule measure_conversion:
    """Remove the dead units of a chain's networks, and count and time what that saves."""
    input:
        test=f"{PACKED}/test.safetensors",
        checkpoints=chain_files(f"{LEVEL}/checkpoint.safetensors"),
    output:
        conversion=f"{CHAIN}/conversion.json",
    log:
        job_files("logs", "measure_conversion", "{pruner}.log"),
    benchmark:
        job_files("benchmarks", "measure_conversion", "{pruner}.jsonl")
    wildcard_constraints:
        pruner=one_of(config["pruners"]),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        settings=settings_of(SETTINGS.conversion),
        version=version_of(
            "measure_conversion.py", ["conversion"], SETTINGS.network_items, "model"
        ),
    script:
        "../scripts/measure_conversion.py"
