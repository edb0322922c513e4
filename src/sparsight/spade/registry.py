"""What chooses and adapts the weights of a sample-targeted copy."""

from sparsight.registration import Registry

SOLVERS = Registry(
    "sample solver",
    {
        "magnitude": "sparsight.spade.solvers:SampleMagnitude",
        "obs_exact": "sparsight.spade.solvers:ObsExact",
        "obs_fast": "sparsight.spade.solvers:ObsFast",
        "random": "sparsight.spade.solvers:SampleRandom",
    },
)
