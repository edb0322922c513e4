"""What chooses and adapts the weights of a sample-targeted copy."""

from sparsight.registration import Registry

#: between the names of a sample pruner and of an explainer or family
SEPARATOR = "__"


def derived_name(sample_pruner: str, name: str) -> str:
    """Name of an explainer or a family on copies that a sample pruner has pruned."""
    return f"{sample_pruner}{SEPARATOR}{name}"


SOLVERS = Registry(
    "sample solver",
    {
        "magnitude": "sparsight.spade.solvers:SampleMagnitude",
        "obs_exact": "sparsight.spade.solvers:ObsExact",
        "obs_fast": "sparsight.spade.solvers:ObsFast",
        "random": "sparsight.spade.solvers:SampleRandom",
    },
)
