"""Sparsight, for those who start Snakemake here: the workflow is in `workflow/Snakefile`."""


include: "workflow/Snakefile"
