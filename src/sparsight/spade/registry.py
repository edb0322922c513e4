"""What chooses and adapts the weights of a sample-targeted copy."""

from sparsight.registration import Registry

SOLVERS = Registry(
    "sample solver",
    {
        "magnitude": "sparsight.spade.solvers.magnitude:SampleMagnitude",
        "obs_exact": "sparsight.spade.solvers.obs_exact:ObsExact",
        "obs_fast": "sparsight.spade.solvers.obs_fast:ObsFast",
        "random": "sparsight.spade.solvers.random:SampleRandom",
    },
)
