"""A preparation that was left and goes on, and which of its settings may change by then."""

from pathlib import Path

import pytest
from packing import prepared, scene

from fer_ssl.data.preparing import pipeline, working
from fer_ssl.data.preparing.manifest import read_manifest
from fer_ssl.errors import ConfigError
from fer_ssl.types import Provenance


def test_what_the_manifest_alone_tells_may_change_until_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    for number, name in enumerate(("calm", "glad")):
        (photos / name).mkdir(parents=True)
        scene(number).save(photos / name / "p.jpg", quality=92)
    out, named = tmp_path / "out", {"pattern": r"(?P<label>\w+)/", "provenance": Provenance(licence="CC0-1.0")}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepared(photos, out)
    with pytest.raises(ConfigError, match=r"other photos or settings; set output="):
        prepared(photos, out, **named, shard_size=3)
    with monkeypatch.context() as patch:
        patch.setattr(working, "work", lambda *_: pytest.fail("faces are sought again"))
        assert prepared(photos, out, **named)["accepted"] == 2
    table = read_manifest(out, "")
    assert table["label"].to_pylist() == ["calm", "glad"]
    assert set(table["licence"].to_pylist()) == {"CC0-1.0"}
    assert prepared(photos, out, **named)["accepted"] == 2
    with pytest.raises(ConfigError, match=r"other photos or settings; set output="):
        prepared(photos, out)
