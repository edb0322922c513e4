"""Sparsight: what does pruning a vision network do to its explanations?"""

from snakemake.utils import min_version

min_version("9.20")


# With --sdm apptainer jobs run in this image (docs/gpus_and_containers.md). Before all rules: it
# holds for those that follow.
container: "sparsight.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/concept_inputs.smk"
include: "workflow/rules/sample_inputs.smk"
include: "workflow/rules/entries.smk"
include: "workflow/rules/cost_inputs.smk"
include: "workflow/rules/provenance_inputs.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/explaining.smk"
include: "workflow/rules/scoring.smk"
include: "workflow/rules/agreement.smk"
include: "workflow/rules/conversion.smk"
include: "workflow/rules/concepts.smk"
include: "workflow/rules/sample_pruning.smk"
include: "workflow/rules/visualisation.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/explanation_figures.smk"
include: "workflow/rules/curves.smk"
include: "workflow/rules/concept_figures.smk"


report: "workflow/report/workflow.rst"


rule all:
    """Make every table and figure of the study."""
    default_target: True
    input:
        tables=rules.summarise.output,
        statistics=statistics_files(),
        costs=rules.gather_costs.output,
        provenance=rules.write_study_provenance.output,
        figures=figure_files(),
        guide=rules.write_guide.output,
        pages=concept_pages(),
        more=MORE,


include: "workflow/rules/command_line.smk"
