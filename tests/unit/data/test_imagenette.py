"""The ImageNette source on small archives in the original format; and on the real one."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsight.data import packing
from sparsight.data.location import find_folder, raw_folder
from sparsight.data.packed import PackedSplit
from sparsight.data.packing import fetch_dataset, pack, prepare_dataset
from sparsight.data.registry import SOURCES
from sparsight.data.sources.imagenette import Imagenette
from sparsight.io.errors import CorruptFile, InputError

WNIDS = [wnid for wnid, _, _, _ in Imagenette.classes]
NAME = "imagenette2-160"
SETTINGS = {"variant": 160, "size": 16}


def picture(seed: int, grey: bool = False, side: tuple[int, int] = (24, 20)) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (*side, 3), np.uint8)
    image = Image.fromarray(values).convert("L" if grey else "RGB")
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def small_files() -> dict[str, bytes]:
    """Four training and two validation images of each class, with ImageNet's two kinds of names."""
    files = {f"{NAME}/noisy_imagenette.csv": b"path\n", f"{NAME}/.DS_Store": b""}
    for label, wnid in enumerate(WNIDS):
        numbers = (100 + label, 22, 3)
        names = [f"train/{wnid}/{wnid}_{number}.JPEG" for number in numbers]
        names += [
            f"train/{wnid}/ILSVRC2012_val_{label:08d}.JPEG",
            f"val/{wnid}/{wnid}_{200 + label}.JPEG",
            f"val/{wnid}/ILSVRC2012_val_{50 + label:08d}.JPEG",
        ]
        for place, name in enumerate(names):
            files[f"{NAME}/{name}"] = picture(10 * label + place, grey=place == 1)
    return files


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def source_for(archive: Path) -> Imagenette:
    """A source whose archive and counts are those of the small one."""

    found = {archive.name: hashlib.sha256(archive.read_bytes()).hexdigest()}

    class SmallImagenette(Imagenette):
        archives = found
        classes = tuple((wnid, name, 4, 2) for wnid, name, _, _ in Imagenette.classes)

    return SmallImagenette()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("server") / f"{NAME}.tgz"
    write_archive(path, small_files())
    return path


@pytest.fixture
def source(archive: Path) -> Imagenette:
    return source_for(archive)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unpacked archive."""
    for name, content in small_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / NAME


def test_fetched_verified_unpacked_and_packed(
    tmp_path: Path,
    archive: Path,
    source: Imagenette,
    serve: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "_source", lambda _: source)
    monkeypatch.delenv("SPARSIGHT_DATA", raising=False)
    server = serve(archive.parent)
    settings = {
        **SETTINGS,
        "source": "imagenette",
        "data_folder": str(tmp_path / "data"),
        "mirrors": [server.address],
    }
    manifest, ids = tmp_path / "manifest.json", tmp_path / "packed" / "nette" / "ids.parquet"
    fetch_dataset(settings, manifest)
    assert json.loads(manifest.read_text())["folder"] == str(tmp_path / "data" / NAME)
    assert server.requests == [f"/{NAME}.tgz"]
    # The archive is not kept, and nothing half done is left.
    left = [path.name for path in (tmp_path / "data").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == [NAME]
    fetch_dataset(settings, manifest)
    assert len(server.requests) == 1
    prepare_dataset(settings, manifest, ids, "nette")
    with PackedSplit.open(ids.with_name("train.safetensors")) as split:
        assert (len(split), split.image_shape) == (40, (3, 16, 16))
        assert split.classes[1] == "English springer"
        assert not split.has_masks
    with PackedSplit.open(ids.with_name("validation.safetensors")) as split:
        assert len(split) == 0
        assert split.image_shape == (3, 16, 16)


def test_an_archive_that_lies_there_is_used_and_kept(
    tmp_path: Path, archive: Path, source: Imagenette
) -> None:
    (tmp_path / f"{NAME}.tgz").write_bytes(archive.read_bytes())
    source.fetch({**SETTINGS, "mirrors": []}, tmp_path / NAME)
    assert {path.name for path in tmp_path.iterdir()} == {NAME, f"{NAME}.tgz"}


def test_an_archive_in_the_shared_folder_is_unpacked_into_the_projects_own(
    tmp_path: Path, archive: Path, source: Imagenette, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copy(archive, shared / f"{NAME}.tgz")
    monkeypatch.setenv("SPARSIGHT_DATA", str(shared))
    settings = {"source": "imagenette", **SETTINGS, "mirrors": []}
    target = raw_folder(source.folder_of(settings), tmp_path / "data")
    source.fetch(settings, target)
    assert target == tmp_path / "data" / source.folder_of(settings)
    assert sum(len(part) for part in source.read(SETTINGS, target).values()) == 60
    assert [path.name for path in shared.iterdir()] == [f"{NAME}.tgz"]


def test_a_folder_in_a_folder_of_its_name(tmp_path: Path, folder: Path, source: Imagenette) -> None:
    outer = tmp_path / "data" / folder.name
    outer.mkdir(parents=True)
    folder.rename(outer / folder.name)
    found = find_folder(folder.name, tmp_path / "data", {})
    assert found == outer / folder.name
    source.fetch({**SETTINGS, "mirrors": []}, found)
    # Named outright, the outer folder is refused for what it is, and nobody is told to delete it.
    with pytest.raises(InputError, match=folder.name) as caught:
        source.read(SETTINGS, outer)
    assert "delete" not in str(caught.value)


def test_a_wrong_checksum_leaves_nothing(
    tmp_path: Path, archive: Path, source: Imagenette, serve: Callable
) -> None:
    write_archive(tmp_path / "server" / f"{NAME}.tgz", {f"{NAME}/other": b"other"})
    server = serve(tmp_path / "server")
    place = tmp_path / "data" / NAME
    with pytest.raises(InputError, match="wrong checksum, SHA-256"):
        source.fetch({**SETTINGS, "mirrors": [server.address]}, place)
    assert not place.parent.exists()
    place.parent.mkdir()
    place.with_name(f"{NAME}.tgz").write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=r"160\.tgz does not match its checksum"):
        source.fetch({**SETTINGS, "mirrors": [server.address]}, place)
    assert not place.exists()


@pytest.mark.parametrize("evil", ["../evil.txt", "link", "truncated"])
def test_a_hostile_archive_leaves_nothing(tmp_path: Path, serve: Callable, evil: str) -> None:
    path = tmp_path / "server" / f"{NAME}.tgz"
    write_archive(path, {**small_files(), "../evil.txt": b"x"} if "evil" in evil else small_files())
    if evil == "link":
        with tarfile.open(path, "w:gz") as tar:
            info = tarfile.TarInfo(f"{NAME}/train")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc"
            tar.addfile(info)
    elif evil == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    # Its checksum is right, as if the author's archive itself were bad.
    place = tmp_path / "data" / NAME
    with pytest.raises(CorruptFile, match="is not the archive that it should be"):
        source_for(path).fetch({**SETTINGS, "mirrors": [serve(path.parent).address]}, place)
    assert [found.name for found in place.parent.iterdir()] == [f"{NAME}.tgz"]


def test_reads_all(folder: Path, source: Imagenette) -> None:
    raw = source.read(SETTINGS, folder)
    source.check(SETTINGS, raw)
    train, test = raw["train"], raw["test"]
    assert list(raw) == ["train", "test"]
    assert np.bincount(train.labels).tolist() == [4] * 10
    assert np.bincount(test.labels).tolist() == [2] * 10
    wnid = WNIDS[2]
    by_name = dict(zip(train.names, train.image_ids.tolist(), strict=True))
    assert by_name[f"train/{wnid}/{wnid}_102.JPEG"] == 2_000_102
    assert by_name[f"train/{wnid}/{wnid}_22.JPEG"] == 2_000_022
    assert by_name[f"train/{wnid}/ILSVRC2012_val_00000002.JPEG"] == 10_000_002
    assert test.image_ids[:2].tolist() == [10_000_050, 200]
    # A greyscale photograph: three equal channels.
    row = train.names.index(f"train/{wnid}/{wnid}_22.JPEG")
    assert (train.images[row] == train.images[row][0]).all()
    row = train.names.index(f"train/{wnid}/{wnid}_102.JPEG")
    whole = Image.open(folder / train.names[row]).resize((16, 19), Image.Resampling.BILINEAR)
    assert (train.images[row] == np.asarray(whole)[2:18].transpose(2, 0, 1)).all()
    squashed = source.read({**SETTINGS, "resize": "squash"}, folder)["train"]
    whole = Image.open(folder / train.names[row]).resize((16, 16), Image.Resampling.BILINEAR)
    assert (squashed.images[row] == np.asarray(whole).transpose(2, 0, 1)).all()


def test_subsets_are_stratified_and_nested(folder: Path, source: Imagenette) -> None:
    def read(**settings: object) -> dict[str, set[str]]:
        whole = {**SETTINGS, **settings}
        raw = source.read(whole, folder)
        source.check(whole, raw)
        for part in raw.values():
            assert part.names == sorted(part.names)
        for name, part in raw.items():
            counts = np.bincount(part.labels, minlength=10)
            assert counts.max() - counts.min() <= 1, name
        return {name: set(part.names) for name, part in raw.items()}

    share = read(split={"validation": 0.25, "seed": 1})
    assert {name: len(names) for name, names in share.items()} == {
        "train": 30,
        "validation": 10,
        "test": 20,
    }
    assert not share["train"] & share["validation"]
    assert read(split={"validation": 10, "seed": 1}) == share
    assert read(split={"validation": 10, "seed": 2})["validation"] != share["validation"]
    assert list(read(split={"validation": 0.0})) == ["train", "test"]
    everything = read(split={"validation": 10, "seed": 1}, train_images="all", test_images=None)
    assert everything == share
    few = read(split={"validation": 10, "seed": 1}, train_images=20, test_images=10)
    assert few["validation"] == share["validation"]
    assert few["train"] < share["train"]
    assert few["test"] < share["test"]
    assert read(train_images=10)["train"] < read(train_images=20)["train"]


def test_an_id_does_not_depend_on_what_else_is_there(folder: Path, source: Imagenette) -> None:
    def ids(**settings: object) -> dict[str, int]:
        raw = source.read({**SETTINGS, **settings}, folder)
        return {
            name: int(image_id)
            for part in raw.values()
            for name, image_id in zip(part.names, part.image_ids, strict=True)
        }

    whole = ids()
    for path in [*(folder / "train" / WNIDS[0]).iterdir()][:2]:
        path.unlink()
    (folder / "val" / WNIDS[3] / f"{WNIDS[3]}_203.JPEG").unlink()
    place = folder / "train" / WNIDS[0]
    with pytest.raises(InputError, match="has 2 of 4 images") as caught:
        source.read(SETTINGS, folder)
    assert str(place) in str(caught.value)
    with pytest.raises(InputError, match="has 2 of 4 images"):
        source.fetch({**SETTINGS, "mirrors": []}, folder)
    source.fetch({**SETTINGS, "partial": True, "mirrors": []}, folder)
    part = ids(partial=True)
    assert len(part) == 57
    assert part.items() < whole.items()


def test_a_missing_class(folder: Path, source: Imagenette) -> None:
    for path in (folder / "val" / WNIDS[9]).iterdir():
        path.unlink()
    (folder / "val" / WNIDS[9]).rmdir()
    with pytest.raises(InputError, match=f"{WNIDS[9]} has 0 of 2 images"):
        source.read(SETTINGS, folder)
    raw = source.read({**SETTINGS, "partial": True}, folder)
    assert np.bincount(raw["test"].labels, minlength=10).tolist() == [2] * 9 + [0]
    (folder / "val").rename(folder / "elsewhere")
    with pytest.raises(InputError, match="has no folder val/n01440764"):
        source.read({**SETTINGS, "partial": True}, folder)


def test_files_that_do_not_belong_there(folder: Path, source: Imagenette) -> None:
    place = folder / "train" / WNIDS[0]
    (place / ".hidden").touch()
    source.read(SETTINGS, folder)
    for name in ("notes.txt", f"{WNIDS[1]}_5.JPEG"):
        (place / name).write_bytes(picture(0))
        with pytest.raises(InputError, match=f"{name} is no file of ImageNette's class"):
            source.read(SETTINGS, folder)
        (place / name).unlink()
    (place / f"{WNIDS[0]}_3.JPEG").write_bytes(b"no image")
    with pytest.raises(CorruptFile, match=r"n01440764_3\.JPEG is not an image that can be read"):
        source.read(SETTINGS, folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"variant": 64}, "'variant' must be one of full, 320, 160, not '64'"),
        ({"size": 0}, "'size' must be a whole number from 1"),
        ({"resize": "crop"}, "'resize' must be one of aspect, squash, not 'crop'"),
        ({"split": {"validation": 40}}, "sets aside 40 of 40"),
        ({"split": {"validation": 0.001}}, "sets aside 0 of 40"),
        ({"split": {"validation": 1.5}}, "a share below 1 or a number of images, not 1.5"),
        ({"split": {"test": 5}}, "unknown key 'test'"),
        ({"train_images": 41}, "'train_images' asks for 41 of 40 training images"),
        ({"train_images": 0}, "'train_images' must be a whole number from 1"),
        ({"test_images": "some"}, "'test_images' must be a whole number from 1"),
        ({"partial": "yes"}, "'partial' must be true or false"),
    ],
)
def test_unusable_settings(
    folder: Path, source: Imagenette, settings: dict[str, object], reason: str
) -> None:
    if "partial" in settings:
        (folder / "train" / WNIDS[0] / f"{WNIDS[0]}_3.JPEG").unlink()
    read = source.folder_of if "variant" in settings else lambda whole: source.read(whole, folder)
    with pytest.raises(InputError, match=reason):
        read({**SETTINGS, **settings})


def test_folders_and_facts() -> None:
    facts = SOURCES.facts("imagenette")
    assert Imagenette.folder_of({}) == facts["folder"] == "imagenette2-320"
    assert Imagenette.folder_of({"variant": "full"}) == "imagenette2"
    assert (
        Imagenette.folder_of({"variant": "160"}) == Imagenette.folder_of({"variant": 160}) == NAME
    )
    assert {f"{folder}.tgz" for folder in Imagenette.folders.values()} == set(Imagenette.archives)
    assert sum(count for _, _, count, _ in Imagenette.classes) == 9469
    assert sum(count for _, _, _, count in Imagenette.classes) == facts["test_images"] == 3925
    assert Imagenette.class_names()[9] == "parachute"
    assert facts["side_parameter"] == "size"


@pytest.mark.realdata
def test_real_imagenette(tmp_path: Path) -> None:
    folder = find_folder(NAME, tmp_path / "none", os.environ)
    if folder is None:
        pytest.skip("no imagenette2-160 folder below $SPARSIGHT_DATA")
    settings = {
        "variant": 160,
        "size": 64,
        "split": {"validation": 50, "seed": 0},
        "train_images": 200,
        "test_images": 100,
        "noise": {"maximum": 0},
        "mirrors": [],
    }
    source = Imagenette()
    source.fetch(settings, folder)
    pack(source, settings, folder, tmp_path / "nette")
    counts = {}
    for name in ("train", "validation", "test"):
        with PackedSplit.open(tmp_path / "nette" / f"{name}.safetensors") as split:
            counts[name] = len(split)
            batch = split.rows(0, len(split))
            share = split.labels().bincount(minlength=10) / len(split)
            assert (share - 0.1).abs().max() < 0.03
            # Photographs: the mean of ImageNet's, within a tenth, channel by channel.
            mean = batch.images("clean").mean(dim=(0, 2, 3))
            assert (mean - mean.new_tensor([0.485, 0.456, 0.406])).abs().max() < 0.1
            assert batch.images("clean").std() > 0.2
    assert counts == {"train": 200, "validation": 50, "test": 100}
