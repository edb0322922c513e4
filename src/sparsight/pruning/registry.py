"""What a pruner's configuration can name: criteria, and mistakes of published code.

Read before any job starts. What the mistakes do is in `sparsight.pruning.rounds` and, for OpenLTH's
threshold, in `sparsight.pruning.masks.Step`.
"""

from sparsight.registration import Registry

CRITERIA = Registry(
    "criterion",
    {
        "magnitude": "sparsight.pruning.criteria:Magnitude",
        "random": "sparsight.pruning.criteria:RandomOrder",
        "lamp": "sparsight.pruning.criteria:Lamp",
        "synflow": "sparsight.pruning.criteria:SynFlow",
        "taylor": "sparsight.pruning.criteria:Taylor",
        "snip": "sparsight.pruning.criteria:Snip",
        "iterative_snip": "sparsight.pruning.criteria:IterativeSnip",
        "grasp": "sparsight.pruning.criteria:Grasp",
        "fisher": "sparsight.pruning.criteria:Fisher",
        "movement": "sparsight.pruning.criteria:Movement",
        "wanda": "sparsight.pruning.criteria:Wanda",
        "obs": "sparsight.pruning.criteria:Obs",
        "relevance": "sparsight.pruning.criteria:Relevance",
    },
)

#: when weights fall
ITERATIVE, ONE_SHOT, AT_INITIALISATION = "iterative", "one_shot", "at_initialisation"
#: schedules under which masks change while a level trains
WHILE_TRAINING = ("gradual", "set", "rigl")
#: the latter start at their density, and weights return
DYNAMIC = ("set", "rigl")

UNSTRUCTURED, UNITS = "unstructured", "units"

#: bits to which weights may be quantised
FEWEST_BITS, MOST_BITS = 2, 16


def group_length(structure: str) -> int:
    """M of a structure `n:M`; 0 of others."""
    first, _, length = structure.partition(":")
    return int(length) if first == "n" and length.isdecimal() else 0


#: name in a pruner's `published_bugs` to what it does and where it was found
PUBLISHED_BUGS = {
    "openlth_threshold": (
        "OpenLTH takes ceil(rate * survivors) and keeps weights strictly above the threshold, so "
        "that one weight more falls each round: 2 of 2,324 weights are left after 25 rounds at "
        "20%, not 11 (Lukkien's thesis, density 0.09%)"
    ),
    "no_mask_in_training": (
        "The mask is applied before a round trains but not while it does, so that pruned weights "
        "grow back: the network that is evaluated is dense. The next threshold is a percentile of "
        "all weights, the regrown ones too, so that fewer than the rate's share of the survivors "
        "fall (arXiv 2509.21387)"
    ),
    "stale_schedule": (
        "The schedule stays bound to the optimiser of the dense training: every later round "
        "trains at the initial learning rate throughout (arXiv 2509.21387)"
    ),
    "norm_layers_pruned": (
        "The scales of normalisation layers are pruned like weights: where a scale is zero, the "
        "whole channel is a constant (arXiv 2509.21387, arXiv 2307.13698)"
    ),
    "aliased_biases": (
        "The saved initialisation shares the memory of the biases from the first rewinding on: "
        "from the second, a round does not start with the rewind point's biases but with those "
        "that the round before has trained (arXiv 2509.21387, arXiv 2307.13698)"
    ),
    "negative_weights_frozen": (
        "Pruned weights are held by zeroing the gradient wherever a weight is below a small "
        "number, its sign forgotten: no negative weight of any layer learns in a round. Weight "
        "decay and momentum still act on it (with a weight decay of 0 a negative weight keeps its "
        "start exactly). The study's dense network was trained so too; here it is not, since all "
        "pruners share it (arXiv 2307.13698)"
    ),
    "schedule_never_restarted": (
        "Optimiser and schedule are made once for all rounds: the learning rate goes on falling "
        "from round to round, and late rounds hardly train. Momentum, which the public code "
        "carries over as well, starts anew here (arXiv 2307.13698, HAM10000)"
    ),
}
#: mistakes of the training of a round, or of what it starts from: none without training
BUGS_OF_TRAINING = frozenset(PUBLISHED_BUGS) - {"openlth_threshold", "norm_layers_pruned"}
