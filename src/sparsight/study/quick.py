"""A ready study of one's own images and network, from the command line alone.

    snakemake --cores 4 --config images=PATH weights=FILE architecture=timm.NAME

One network, pruned in one shot by magnitude to three densities, is not trained again. All that this
assumes is said before it runs, and can be changed in a study file (docs/my_network.md).
"""

from collections.abc import Mapping
from typing import Any

from sparsight.io.errors import InputError, join_names

#: what has to be given
NEEDED = ("images", "weights", "architecture")
#: side of the images, which may be given too
SIDE = "size"
#: of networks that were trained on ImageNet
DEFAULT_SIDE = 224
DENSITIES = (0.5, 0.2, 0.1)
#: name of the data set, the model and the study
NAME = "quick"


def is_quick(config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for the ready study."""
    return any(key in config for key in (*NEEDED, SIDE))


def quick_study(config: Mapping[str, Any]) -> dict[str, Any]:
    """The ready study, and over it what else is given.

    Parameters
    ----------
    config : with `images` (a folder, or one `.npz`), `weights` (as `initial_weights` of a model)
        and `architecture`; maybe with `size`, and with keys of a study.

    Raises
    ------
    InputError
        When one of the three is missing.
    """
    if missing := [key for key in NEEDED if key not in config]:
        raise InputError(
            f"{join_names(missing)} {'is' if len(missing) == 1 else 'are'} missing; give images, "
            "weights and architecture together with --config, or write a study file"
        )
    images = str(config["images"])
    options: dict[str, Any] = {"path": images}
    if not images.endswith(".npz"):
        options["size"] = config.get(SIDE, DEFAULT_SIDE)
    elif SIDE in config:
        raise InputError(f"{SIDE} goes with a folder of images, and {images} is none; drop it")
    source = "arrays" if images.endswith(".npz") else "image_folder"
    network = {"architecture": config["architecture"], "initial_weights": config["weights"]}
    pruner = {
        "criterion": "magnitude",
        "densities": list(DENSITIES),
        "schedule": "one_shot",
        "rewind": "none",
        "retraining": {"epochs": 0},
    }
    ready = {
        "study": NAME,
        "datasets": [NAME],
        "models": [NAME],
        "pruners": [NAME],
        "seeds": [0],
        "metrics": ["gini_sparseness", "entropy", "insertion", "deletion"],
        "catalogue": {
            "datasets": {NAME: {"source": source, "options": options}},
            "models": {NAME: network},
            "pruners": {NAME: pruner},
        },
    }
    others = {key: value for key, value in config.items() if key not in (*NEEDED, SIDE)}
    return {**ready, **others, "catalogue": _merged(others.get("catalogue", {}), ready)}


def _merged(catalogue: Mapping[str, Any], ready: Mapping[str, Any]) -> dict[str, Any]:
    """A catalogue with the ready entries."""
    own = ready["catalogue"]
    return {**catalogue, **{kind: {**catalogue.get(kind, {}), **own[kind]} for kind in own}}


def assumptions(config: Mapping[str, Any]) -> str:
    """What the ready study assumes, in a sentence each; "" for any other study.

    Parameters
    ----------
    config : as the workflow uses it.
    """
    if config["study"] != NAME or NAME not in config["catalogue"]["datasets"]:
        return ""
    options = config["catalogue"]["datasets"][NAME]["options"]
    side = f"Images are brought to {options['size']} pixels (size). " if "size" in options else ""
    shares = ", ".join(f"{share:g}" for share in DENSITIES)
    return (
        f"Assumed: {side}Where the images are in no splits, a fifth of each class is for the test. "
        f"Weights fall by magnitude, those of all layers competing, to a density of {shares}, and "
        f"nothing is trained. Explained with {join_names(config['explainers'])}. One network says "
        "nothing of others: no claim is decided. docs/my_network.md says how to change this."
    )
