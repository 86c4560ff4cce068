"""What is never done: code from data, parts that nobody trusts, secrets on disk, rights beyond the umask."""

import ast
import logging
import os
import stat
from pathlib import Path

import pytest
import torch
from running import composed, trained

from fer_ssl.errors import ConfigError
from fer_ssl.inference import score_checkpoint
from fer_ssl.masking import Masked, masked, masked_tree
from fer_ssl.trust import require_trusted

PACKAGE = Path(__file__).parent.parent / "fer_ssl"
BANNED = {"eval", "exec", "compile", "__import__"}
UNSAFE = {"pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
SECRET = "tok-5ecret-0123456789"


def calls() -> list[tuple[str, ast.Call]]:
    """Return every call in the package with the place of it."""
    files = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    assert len(files) > 50
    return [
        (f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node.func)}", node)
        for path, tree in files.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def test_nothing_is_evaluated_and_nothing_unsafe_is_read() -> None:
    for place, call in calls():
        name = ast.unparse(call.func)
        assert name not in BANNED | UNSAFE, place
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert options.get("shell", "False") == "False", place
        assert options.get("allow_pickle", "False") == "False", place
        if name == "torch.load":
            assert options["weights_only"] == "True", place


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "fer_ssl.nn.init.torch.load",  # a path through a trusted module to something else
        "fer_ssl.checkpoints.pickle.loads",
        "fer_ssl.results.write_json",
        "fer_ssl.nn_of_mine.Net",
        "my_faces.halving.HalvingNet",
    ],
)
@pytest.mark.parametrize("held", [list, tuple])  # both are lists to Hydra, and torch.load knows both
def test_parts_from_elsewhere_are_not_built(target: str, held: type) -> None:
    with pytest.raises(ConfigError, match=r"asks for .* which is no part of fer_ssl .* set allow_targets=\["):
        require_trusted({"backbone": {"parts": held([{"_target_": target}])}}, [], Path("a.ckpt"))


def test_parts_of_ours_and_those_the_user_trusts_are_built() -> None:
    config = {"backbone": {"_target_": "fer_ssl.nn.backbones.SmallConvNet"}, "o": {"_target_": "torch.optim.AdamW"}}
    require_trusted(config, [], Path("a.ckpt"))
    require_trusted({"_target_": "decimal.Decimal"}, ["decimal"], Path("a.ckpt"))


def test_a_checkpoint_cannot_name_a_program(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["config"]["backbone"] = {"_target_": "os.system", "command": f"touch {tmp_path}/trace"}
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(ConfigError, match=r"asks for os\.system"):
        score_checkpoint(composed(f"ckpt_path={tmp_path}/evil.ckpt", f"run_dir={tmp_path}", config="evaluate"))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("hidden", ["${evil}", "${oc.create:{a:1}}"])
def test_a_checkpoint_cannot_refer_to_a_program(hidden: str, tmp_path: Path) -> None:
    trained(tmp_path / "run")
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["config"]["backbone"]["more"] = hidden
    checkpoint["config"]["evil"] = {"_target_": "pathlib.Path.touch", "self": f"{tmp_path}/trace"}
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(ConfigError, match=r"evil\.ckpt holds a reference, .* set another ckpt_path"):
        score_checkpoint(composed(f"ckpt_path={tmp_path}/evil.ckpt", f"run_dir={tmp_path}", config="evaluate"))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://me:{SECRET}@host/faces", "https://***@host/faces"),
        (f"no file https:/me:{SECRET}@host/faces", "no file https:/***@host/faces"),
        (f"s3://bucket/a.tar?X-Amz-Signature={SECRET}&part=1", "s3://bucket/a.tar?X-Amz-Signature=***&part=1"),
        (f"https://host/a?access_token={SECRET}", "https://host/a?access_token=***"),
        ("/data/me@home/faces", "/data/me@home/faces"),
    ],
)
def test_addresses_lose_their_secrets(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_secret_keys_and_variables_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    tree = {"api_key": "abc", "hub": {"token": "def", "tokens": 3}, "note": [f"key {SECRET}"], "seed": 0, "token": None}
    assert masked_tree(tree) == {
        "api_key": "***", "hub": {"token": "***", "tokens": 3}, "note": ["key ***"], "seed": 0, "token": None
    }  # fmt: skip
    record = logging.LogRecord("a", logging.INFO, "", 0, "reading %s", (f"https://me:{SECRET}@host",), None)
    assert Masked().filter(record)
    assert record.getMessage() == "reading https://***@host"


@pytest.fixture(scope="module")
def private_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose configuration holds secrets, made under a strict umask."""
    folder = tmp_path_factory.mktemp("private") / "run"
    before = os.umask(0o027)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WANDB_API_KEY", SECRET)
            address = f"https://me:{SECRET}@host/faces?access_token={SECRET}"
            trained(
                folder, f"unlabeled.provenance.source='{address}'", f"+api_key={SECRET}",
                "logger=[csv,tensorboard,wandb]", "logger.wandb.mode=offline",
            )  # fmt: skip
    finally:
        os.umask(before)
    return folder


def test_no_file_of_a_run_holds_a_secret(private_run: Path) -> None:
    files = [path for path in private_run.rglob("*") if path.is_file()]
    assert {"config.yaml", "last.ckpt", "report.html"} <= {path.name for path in files}
    leaking = [str(path) for path in files if SECRET.encode() in path.read_bytes()]
    assert leaking == []
    assert "***@host/faces" in (private_run / "config.yaml").read_text()


def test_files_have_the_rights_of_the_umask(private_run: Path) -> None:
    ours = [path for path in private_run.rglob("*") if "wandb" not in path.parts]
    rights = {stat.S_IMODE(path.stat().st_mode) for path in ours if path.is_file()}
    assert rights == {0o640}
    assert {stat.S_IMODE(path.stat().st_mode) for path in ours if path.is_dir()} == {0o750}
