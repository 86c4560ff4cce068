"""The verb's own refusals come before weights are fetched or faces are sought."""

from pathlib import Path

import pytest
from running import composed

from fer_ssl.errors import ConfigError
from fer_ssl.prepare import prepare


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["input=null"], r"there is no input; set input=<dir>"),
        (["input=nowhere"], r"there is no folder nowhere; set input=<dir>"),
        (["faces=some"], r"faces=some is none of .*; set faces="),
        (["pattern='(?P<label>[^/]+'"], r"is no regular expression \(missing \), .*\); set pattern to one"),
        (
            ["pattern='(?P<emotion>[^/]+)/'"],
            r"names the group 'emotion'; set pattern with groups label,",
        ),
        (["workers=0"], r"workers=0 is too few; set workers=1 or more"),
    ],
)
def test_a_mistake_names_the_key(overrides: list[str], message: str, tmp_path: Path) -> None:
    cfg = composed(f"input={tmp_path}", f"output={tmp_path}/out", *overrides, config="prepare")
    with pytest.raises(ConfigError, match=message):
        prepare(cfg)
