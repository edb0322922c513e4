"""Original files that changed after they were found."""

import json
import os
from pathlib import Path

from sparsight.data.location import changed_since, folder_state, folder_states


def test_a_repaired_file_is_noticed(tmp_path: Path) -> None:
    folder, manifest = tmp_path / "raw", tmp_path / "manifest.json"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "mask.png").write_bytes(b"1234")
    os.utime(folder / "below" / "mask.png", ns=(10**18, 10**18))

    def found() -> list[str]:
        return changed_since(manifest)

    states = folder_states([folder, tmp_path / "not there"])
    assert states == {str(folder): folder_state(folder)}
    assert states[str(folder)]["newest"] == 10**18
    manifest.write_text(json.dumps({"files": states}))
    assert found() == []
    # under the same name: of the same size, of another size and an older time
    (folder / "below" / "mask.png").write_bytes(b"4321")
    assert found() == [str(folder)]
    (folder / "below" / "mask.png").write_bytes(b"123456")
    os.utime(folder / "below" / "mask.png", ns=(10**18, 10**18))
    assert found() == [str(folder)]
    # What was packed stays when the original files are deleted.
    (folder / "below" / "mask.png").unlink()
    (folder / "below").rmdir()
    assert found() == [str(folder)]
    folder.rmdir()
    assert found() == []


def test_manifests_that_say_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    assert changed_since(manifest) == []
    # of an earlier version, of embedded data, and damaged ones
    for content in ('{"files": {"count": 3, "sha256": "x"}}', '{"folder": null}', "", "[]", "{"):
        manifest.write_text(content)
        assert changed_since(manifest) == []
