"""Runs that cannot be: each is refused with a sentence that names what mends it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from making import faces
from PIL import Image
from running import TINY, composed, trained

from fer_ssl.build import build_module
from fer_ssl.claim import claimed
from fer_ssl.devices import chosen_device
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.inference import score_checkpoint
from fer_ssl.run import require_splits, run
from fer_ssl.types import LabelSpace


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with (
        claimed(tmp_path, composed("run_dir=.")),
        pytest.raises(ConfigError, match=r"another run is writing to .* hydra\.run\.dir="),
    ):
        trained(tmp_path)
    trained(tmp_path)


def test_an_optimizer_that_torch_refuses_is_told_before_the_run_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Nesterov momentum requires .*; correct those of optim\.optimizer$"):
        trained(tmp_path, "optim=sgd", "optim.optimizer.momentum=0")
    assert not (tmp_path / "data.json").exists()


def test_a_best_checkpoint_without_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"this run has none; set data\.val_fraction=0\.1, or callback\.checkpoint"):
        trained(tmp_path, "trainer.limit_val_batches=0", "callback.checkpoint.best=true")


def test_features_that_are_not_there_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no weights outputs/features/checkpoints/last\.ckpt; set backbone\.init="):
        trained(tmp_path / "run", "+experiment=best_pretrained")


def test_a_network_of_another_size_of_face_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes no faces of 24 px .*; set image_size=224"):
        trained(tmp_path, "backbone=timm", "backbone.name=vit_tiny_patch16_224")


def test_parts_that_lack_what_they_read_name_the_override(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set threshold\.source=teacher, or add supervised to loss"):
        trained(tmp_path, "+experiment=mixmatch", "threshold=adamatch")
    with pytest.raises(ConfigError, match=r"'infonce' takes faces .* set loss\.infonce\.uncertain_only=false"):
        trained(tmp_path, "threshold=confidence")
    with pytest.raises(ConfigError, match=r"'mixed_labeled' reads mixed faces .* set mix=mixup"):
        trained(tmp_path, "+experiment=mixmatch", "mix=none")
    with pytest.raises(ConfigError, match=r"'instances' needs a memory of faces; set memory=labeled"):
        trained(tmp_path, "+experiment=simmatch", "memory=none")


def test_a_checkpoint_without_a_classifier_is_not_scored(tmp_path: Path) -> None:
    trained(tmp_path, "+experiment=pretrain_infonce")
    path = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match=r"learned no label, .* \+experiment=supervised backbone\.init="):
        score_checkpoint(composed(f"ckpt_path={path}", f"run_dir={tmp_path}", config="evaluate"))


def test_one_class_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"synthetic has one class, calm; set data\.root"):
        build_module(composed(*TINY, f"run_dir={tmp_path}"), LabelSpace("one", ("calm",)))


def test_views_of_unlabeled_faces_need_a_pool() -> None:
    views = build_module(composed(*TINY, "run_dir=."), LabelSpace("two", ("a", "b"))).views
    with pytest.raises(ConfigError, match=r"'weak' of unlabeled faces; set unlabeled=same"):
        views.draw({"labeled": torch.zeros(2, 3, 24, 24, dtype=torch.uint8)}, {"labeled", "weak"}, (0, 0))


def test_a_pool_of_nameless_faces_cannot_teach_identity(tmp_path: Path) -> None:
    Image.new("L", (24, 24)).save(tmp_path / "face.png")
    pool = ["unlabeled=folder", f"unlabeled.root={tmp_path}", "batch.unlabeled=1"]
    with pytest.raises(ConfigError, match=r"pool names nobody; set unlabeled\.identities=true"):
        trained(tmp_path / "run", "+experiment=pretrain_identity", *pool)
    with pytest.raises(ConfigError, match=r"needs the people of the pool.* set loss\.infonce\.same_identity=negative"):
        trained(tmp_path / "run", "loss.infonce.same_identity=exclude", *pool)


def test_alignment_and_a_threshold_that_aligns_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SoftMatchThreshold aligns predictions by itself; set alignment=none"):
        trained(tmp_path, "threshold=softmatch", "alignment=uniform")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    assert (chosen_device("auto"), chosen_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(ConfigError, match=r"asks for a GPU, and there is none; set accelerator=auto"):
        chosen_device("gpu")
    with pytest.raises(ConfigError, match=r"accelerator=gpuu is not a choice"):
        chosen_device("gpuu")


def test_evaluate_without_a_checkpoint_names_the_override() -> None:
    with pytest.raises(ConfigError, match=r"no checkpoint to ask; set ckpt_path="):
        score_checkpoint(composed("run_dir=.", config="evaluate"))
    with pytest.raises(ConfigError, match=r"data=folder needs the place of its files; set data\.root="):
        score_checkpoint(composed("run_dir=.", "data=folder", "ckpt_path=last.ckpt", config="evaluate"))
    with pytest.raises(ConfigError, match=r"split=pool is not a choice; set split to one of test, train, val"):
        score_checkpoint(composed("run_dir=.", "split=pool", "ckpt_path=last.ckpt", config="evaluate"))


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match=r"head\.projection=128, not 64; set head\.projection=128"):
        trained(tmp_path / "other", f"ckpt_path={path}", "head.projection=64")
    with pytest.raises(ConfigError, match="there is no checkpoint"):
        trained(tmp_path / "other", "ckpt_path=last")
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"classes": ["calm", "glad"]}, tmp_path / "foreign.ckpt")
    with pytest.raises(ConfigError, match=r"knows the classes calm, glad, but the data has neutral"):
        trained(tmp_path / "other", f"ckpt_path={tmp_path}/foreign.ckpt")
    (tmp_path / "broken.ckpt").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ConfigError, match="cannot be read"):
        trained(tmp_path / "other", f"ckpt_path={tmp_path}/broken.ckpt")
    torch.save(checkpoint | {"classes": checkpoint["classes"][::-1]}, tmp_path / "reversed.ckpt")
    with pytest.raises(ConfigError, match=r"the order differs: set 'data\.classes=\[.*neutral\]' where the set"):
        trained(tmp_path / "other", f"ckpt_path={tmp_path}/reversed.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "stranger.ckpt")
    with pytest.raises(ConfigError, match="not a checkpoint of fer_ssl"):
        trained(tmp_path / "other", f"ckpt_path={tmp_path}/stranger.ckpt")


def test_an_unwritable_run_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written .* set hydra\.run\.dir="):
        run(composed(*TINY, f"run_dir={tmp_path}/file/run"))


def test_a_split_of_another_name_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"score names tset, and what is scored is test or val; set score=\[test,val\]"
    ):
        trained(tmp_path, "score=[val,tset]")


def test_an_unknown_number_of_passes_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"passes=three .* one, two, each"):
        trained(tmp_path, "passes=three")


def test_an_unknown_backbone_names_the_override(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"timm has no model 'resnet10'.*set backbone\.name"):
        trained(tmp_path, "backbone=timm", "backbone.name=resnet10")


def test_a_split_of_which_no_label_is_known_is_told_before_training() -> None:
    nameless, known = faces([-1, -1], "test"), faces([0, -1], "val")
    with pytest.raises(ConfigError, match=r"no face of the test split has a known label, .* set score=\[val\]"):
        require_splits(None, SimpleNamespace(roles=lambda: {"test": nameless, "val": known}))
    with pytest.raises(ConfigError, match=r"no face of the test split .* set data\.val_fraction=0\.1 score=\[val\]"):
        require_splits(None, SimpleNamespace(roles=lambda: {"test": nameless}))
    require_splits(["val"], SimpleNamespace(roles=lambda: {"test": nameless, "val": known}))
