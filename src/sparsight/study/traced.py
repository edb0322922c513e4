"""Facts of architectures that are not the project's own: traced once, in a process apart, and kept.

Planning imports neither torch nor the libraries of networks, which takes seconds, and every job
plans anew: so facts lie in a file for each architecture, options, shape of images and number of
classes, until a library, the tracing or a function's file changes.
"""

import hashlib
import itertools
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sparsight.explain.registry import EXPLAINERS
from sparsight.io.errors import InputError
from sparsight.io.files import write_json
from sparsight.models.registry import LIBRARIES, factory_of, file_digest
from sparsight.registration import UnknownName
from sparsight.study.versions import versions

logger = logging.getLogger(__name__)
#: where facts are kept, in the working folder
FOLDER = Path(".snakemake/sparsight/architectures")
#: forward passes for which an explainer is tried: what it refuses, it refuses before
PASSES = 8


@dataclass(frozen=True)
class Request:
    """What is asked of an architecture.

    Attributes
    ----------
    architecture, options : of a model of the catalogue.
    shape : (C, H, W) of the images.
    class_count : number of classes.
    explainers : entries (`method`, `parameters`) that it is to be explained with.
    """

    architecture: str
    options: Mapping[str, Any]
    shape: tuple[int, int, int]
    class_count: int
    explainers: Sequence[Mapping[str, Any]] = field(default=())

    @cached_property
    def key(self) -> str:
        """Name of the file of the facts, without its ending."""
        factory = factory_of(self.architecture)
        wanted = [
            self.architecture,
            dict(self.options),
            list(self.shape),
            self.class_count,
            [_version(name) for name in ("torch", *LIBRARIES)],
            versions(["tracing"]),
            file_digest(factory[0]) if factory else "",
        ]
        return _digest(wanted)


def explainer_key(entry: Mapping[str, Any]) -> str:
    """Name of an explainer's entry among the facts of an architecture."""
    item = EXPLAINERS.item(entry["method"])
    return _digest([entry["method"], dict(entry["parameters"]), item.attribute, item.version])


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


#: what this process has read or traced, by the file
_known: dict[Path, dict[str, Any]] = {}


def facts_of(request: Request) -> dict[str, Any]:
    """Facts of a foreign architecture: see `sparsight.models.tracing.trace`.

    `refused` has for each of the request's explainers, by `explainer_key`, why it does not work on
    the network; empty where it does. An `InputError` says why the network cannot be used.
    """
    (found,) = all_facts([request])
    if isinstance(found, str):
        raise InputError(found)
    return found


def all_facts(requests: Sequence[Request]) -> list[dict[str, Any] | str]:
    """Facts for each request, or what is wrong with its architecture; one process traces all."""
    paths: list[Path | str] = []
    missing: list[Request] = []
    for request in requests:
        try:
            path = FOLDER.resolve() / f"{request.key}.json"
        except UnknownName as error:
            paths.append(f"architecture {request.architecture}: {error}; correct the path")
            continue
        paths.append(path)
        keys = {explainer_key(entry) for entry in request.explainers}
        if keys - {*_read(path).get("refused", ())} or "layers" not in _read(path):
            missing.append(request)
    answers = dict(zip(map(id, missing), _traced_apart(missing), strict=True)) if missing else {}
    found: list[dict[str, Any] | str] = []
    for request, place in zip(requests, paths, strict=True):
        answer = answers.get(id(request), {})
        if isinstance(place, str) or "error" in answer:
            found.append(place if isinstance(place, str) else str(answer["error"]))
            continue
        if answer:
            refused = {**_read(place).get("refused", {}), **answer["refused"]}
            _known[place] = {**answer, "refused": refused}
            try:
                write_json(place, _known[place])
            except OSError as error:
                logger.warning("facts of %s are not kept: %s", request.architecture, error)
        layers = {name: (height, width) for name, height, width in _known[place]["layers"]}
        found.append({**_known[place], "layers": layers})
    return found


def _read(path: Path) -> dict[str, Any]:
    """What is kept; nothing where the file is missing or damaged."""
    if path not in _known:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        _known[path] = content if isinstance(content, dict) else {}
    return _known[path]


def _traced_apart(requests: Sequence[Request]) -> list[dict[str, Any]]:
    names = ", ".join(dict.fromkeys(request.architecture for request in requests))
    logger.info("tracing %s", names)
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "asked.json"), Path(folder, "answered.json")
        write_json(asked, [asdict(request) for request in requests])
        command = [sys.executable, "-m", "sparsight.study.traced", str(asked), str(answered)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not answered.is_file():
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise InputError(f"tracing {names} failed: {last}")
        answers: list[dict[str, Any]] = json.loads(answered.read_text(encoding="utf-8"))
    return answers


# ------------------------------------------------------------------------- in the process apart


def trace_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """Facts for a request (its fields), with `refused`; or only an `error`."""
    import torch

    from sparsight.explain.network import frozen
    from sparsight.models.foreign import ForeignArchitecture
    from sparsight.models.tracing import trace

    try:
        facts, network = trace(
            ForeignArchitecture(request["architecture"]),
            request["class_count"],
            request["options"],
            request["shape"],
        )
    except InputError as error:
        return {"error": str(error)}
    image = torch.rand(1, *request["shape"], generator=torch.Generator().manual_seed(1))
    refused = {}
    with frozen(network):
        for entry in request["explainers"]:
            refused[explainer_key(entry)] = refusal(network, entry, image)
    # In their order, which a mapping does not have in a file.
    layers = [[name, *size] for name, size in facts["layers"].items()]
    return {**facts, "layers": layers, "refused": refused}


class _Enough(Exception):
    """An explainer has come through as many forward passes as it was given."""


def refusal(network: Any, entry: Mapping[str, Any], image: Any) -> str:
    """Why an explainer does not work on a frozen network; empty where it does.

    It is tried on one image [1, C, H, W], for its first `PASSES` forward passes.
    """
    import torch

    from sparsight.explain.base import ImageBatch, build_explainers, explain_batch
    from sparsight.models.foreign import in_short

    explainers = build_explainers({"it": {"family": "it", **entry}})
    one, passes = torch.zeros(1, dtype=torch.int64), itertools.count(1)

    def stop(*_: Any) -> None:
        if next(passes) > PASSES:
            raise _Enough

    handle = network.register_forward_pre_hook(stop)
    try:
        if explainers["it"].needs_network:
            explain_batch(explainers, ImageBatch(network, image, one, one))
    except _Enough:
        return ""
    except InputError as error:
        handle.remove()
        return str(error) + place_of(network, image, str(error))
    # Methods of other libraries may fail in any way on a network of another one.
    except Exception as error:
        return in_short(error)
    finally:
        handle.remove()
    return ""


def place_of(network: Any, image: Any, reason: str) -> str:
    """ " (first in layer 'x')", where a reason names an operation that a layer does."""
    from sparsight.models.tracing import operation_places

    named = re.search(r"operation '(\w+)'", reason)
    if named is None:
        return ""
    places = operation_places(network, image)
    wanted = named[1].replace("_", "").lower()
    # NativeLayerNorm is done by layer_norm.
    near = (name for name in places if name and wanted.endswith(name))
    found = places.get(wanted) or places.get(max(near, key=len, default=""))
    return f" (first in layer '{found}')" if found else ""


def main(arguments: Iterable[str]) -> None:
    """Trace what the first file asks for, and write the answers into the second."""
    asked, answered = arguments
    requests = json.loads(Path(asked).read_text(encoding="utf-8"))
    write_json(answered, [trace_request(request) for request in requests])


if __name__ == "__main__":
    main(sys.argv[1:])
