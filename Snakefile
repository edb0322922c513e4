"""Sparsight, for those who start Snakemake here: the workflow is in `workflow/Snakefile`."""


include: "workflow/Snakefile"


# An included file does not say what is made by default.
workflow.default_target = rules.all.rule.name
