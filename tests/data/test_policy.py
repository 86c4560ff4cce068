"""What a policy refuses, and the files that are none."""

from datetime import date
from pathlib import Path

import pytest

from fer_ssl.data.policy import Policy, read_policy
from fer_ssl.errors import ConfigError
from fer_ssl.types import Provenance

FREE = Provenance("photos", "CC0-1.0", "informed", ("research", "commercial"), "2019-05")


@pytest.mark.parametrize(
    ("policy", "face", "reason"),
    [
        (Policy("research"), FREE, None),
        (Policy("sale"), FREE, "it allows research, commercial only"),
        (Policy("sale"), Provenance(allowed_use=("any",)), None),
        (Policy("research"), Provenance(), "its allowed use is unknown"),
        (Policy("research", unknown="allow"), Provenance(), None),
        (Policy("research", licences=["CC0-1.0"]), FREE, None),
        (Policy("research", licences=["MIT"]), FREE, "its licence is CC0-1.0"),
        (Policy("research", licences=["MIT"]), Provenance(allowed_use=("research",)), "its licence is unknown"),
        (Policy("research", licences=["MIT"], unknown="allow"), FREE, "its licence is CC0-1.0"),
        (Policy("research", consent=["given"]), FREE, "its consent is informed"),
        (Policy("research", collected_from=date(2019, 5, 1)), FREE, None),
        (Policy("research", collected_from=date(2019, 5, 2)), FREE, "it was collected 2019-05"),
        (Policy("research", collected_until=date(2019, 5, 31)), FREE, None),
        (Policy("research", collected_until=date(2019, 5, 30)), FREE, "it was collected 2019-05"),
        (
            Policy("research", collected_from=date(2019, 1, 1)),
            Provenance(allowed_use=("research",), collected="spring"),
            "its date of collection is unknown",
        ),
    ],
)
def test_a_face_is_refused_with_its_reason(policy: Policy, face: Provenance, reason: str | None) -> None:
    assert policy.refusal(face) == reason


def test_a_file_declares_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    text = "use: research\nlicences: [CC0-1.0, MIT]\ncollected_from: 2018-01-01\n"
    path.write_text(text, encoding="utf-8-sig", newline="\r\n")
    assert read_policy(path) == Policy("research", ["CC0-1.0", "MIT"], collected_from=date(2018, 1, 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "declares no use; write a line such as use: research"),
        (b"- research\n", "declares no use"),
        (b"licences: [MIT]\n", "declares no use"),
        (b"use: research\nlicenses: [MIT]\n", "the key 'licenses', which means nothing; did you mean licences"),
        (b"use: [research]\n", r"use is \['research'\], no name of a use"),
        (b"use: research\nlicences: MIT\n", "licences is 'MIT', no list of names"),
        (b"use: research\nconsent: [1]\n", r"consent is \[1\], no list of names"),
        (b"use: research\ncollected_from: soon\n", "collected_from is 'soon', no date"),
        (b"use: research\ncollected_until: 2020\n", "collected_until is 2020, no date"),
        (b"use: research\nunknown: maybe\n", "unknown is 'maybe', none of refuse, allow"),
        (b"use: [research\n", "cannot be read as YAML"),
        (b"use: \xff\xfe\n", "cannot be read as YAML"),
        (b"!!python/object/apply:os.system [true]\n", "cannot be read as YAML"),
    ],
)
def test_a_broken_file_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_policy(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read .*; set policy=<file>"):
        read_policy(tmp_path / "nowhere.yaml")
