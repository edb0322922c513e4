"""What a recipe can name; a table without torch, for the workflow and for the training itself."""

from typing import Any

from sparsight.registration import REQUIRED

#: optimiser to its hyper-parameters and their defaults
OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": REQUIRED, "momentum": 0.0, "weight_decay": 0.0},
    "adamw": {
        "learning_rate": REQUIRED,
        "weight_decay": 0.0,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
    },
    "ranger": {
        "learning_rate": REQUIRED,
        "weight_decay": 0.0,
        "betas": [0.95, 0.999],
        "epsilon": 1e-5,
    },
}
#: schedule to its parameters and their defaults
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "multi_step": {"milestones": REQUIRED, "factor": REQUIRED},
    "step": {"every": REQUIRED, "factor": REQUIRED},
    "cosine": {"minimum_rate": 0.0},
}
#: rule of selection to the split whose accuracy decides, empty where the last epoch is taken
SELECTIONS = {"last": "", "best_validation": "validation", "best_test": "test"}
