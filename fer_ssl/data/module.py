"""The Lightning data module: source and pool to checked, divided, batched faces."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning import LightningDataModule

from fer_ssl.data.admission import Admission, Mask
from fer_ssl.data.card import data_card
from fer_ssl.data.decode import Decoder
from fer_ssl.data.identities import number_people
from fer_ssl.data.joined import JoinedImages, join
from fer_ssl.data.labels import class_counts
from fer_ssl.data.leaks import digests, identical_to_any
from fer_ssl.data.loader import EvalLoader, TrainLoader
from fer_ssl.data.manifest import manifest_hash, write_manifest
from fer_ssl.data.placing import Placement, in_memory
from fer_ssl.data.pool_labels import pseudo_labeled
from fer_ssl.data.provenance import of_set
from fer_ssl.data.samplers import MixedSampler, Sampler, ShuffledSampler, per_rank
from fer_ssl.data.splits import SplitPlan, SplitRows, divide
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import Batch, Faces, LabelSpace, Provenance, Splits

log = logging.getLogger(__name__)

UNTOLD = Provenance()
ROLES = ("labeled", "pseudo", "heldout", "val", "test", "pool")


class Source(Protocol):
    """A labeled set: `channels` is what its images natively hold."""

    space: LabelSpace
    channels: int

    def load(self, decoder: Decoder) -> Splits: ...


class Pool(Protocol):
    """A set of faces nobody labeled."""

    def load(self, decoder: Decoder) -> Faces: ...


class FaceData(LightningDataModule):
    """Labeled, validation, test and unlabeled faces of one run.

    `batch_labeled` and `batch_unlabeled` count the faces of a step over all ranks. Without a `pool` of its own, a run
    that asks for `pool_from_source` takes the training faces whose labels it does not use. `leak_check` is `auto` to
    leave out pools that are streamed, each face of which it would have to read. Faces of the pool that the file
    `pseudo_labels` keeps are taught like labeled ones.
    """

    def __init__(
        self,
        source: Source,
        pool: Pool | None,
        pool_from_source: bool,
        plan: SplitPlan,
        decoder: Callable[[int], Decoder],
        sampler: Callable[..., Sampler],
        batch_labeled: int,
        batch_unlabeled: int,
        epoch_steps: int,
        seed: int,
        batch_eval: int = 512,
        leak_check: bool | Literal["auto"] = True,
        workers: int = 0,
        pseudo_labels: str | None = None,
        admission: Admission | None = None,
        provenance: Provenance = UNTOLD,
        pool_provenance: Provenance = UNTOLD,
    ) -> None:
        super().__init__()
        self.source, self.pool_source, self.pool_from_source = source, pool, pool_from_source
        self.plan, self.sampler = plan, sampler
        self.batch_labeled, self.batch_unlabeled, self.batch_eval = batch_labeled, batch_unlabeled, batch_eval
        self.epoch_steps, self.seed, self.workers = epoch_steps, seed, workers
        if leak_check not in (True, False, "auto"):
            raise ConfigError(f"data.leak_check={leak_check} is none of true, false, auto; set data.leak_check=auto")
        self.leak_check = leak_check
        self.pseudo_labels = None if pseudo_labels is None else Path(pseudo_labels)
        self.admission = Admission(None, None) if admission is None else admission
        self.provenance, self.pool_provenance = provenance, pool_provenance
        self.decoder = decoder(source.channels)
        self.space = source.space
        self.position = 0
        self.leaked = 0
        self.pool_checked = False
        self._loaded = False
        self._placement: Placement | None = None

    def setup(self, stage: str | None = None) -> None:
        """Load and divide the faces once; raises DataError for data that cannot serve the configuration."""
        if self._loaded:
            return
        splits = self._told(self.source.load(self.decoder))
        self.test = splits.test
        admitted = self.admission("train", splits.train)
        self.admission.require_classes(splits.train, admitted, self.space)
        usable = self._without_twins(splits.train, [splits.val, splits.test], admitted)
        plan = self.plan if splits.val is None else replace(self.plan, val_fraction=0.0)
        rows = divide(splits.train, usable, self.space, plan)
        self.labeled = splits.train.subset(torch.from_numpy(rows.labeled))
        self.heldout = splits.train.subset(torch.from_numpy(rows.heldout))
        self.val = self._validation(splits, rows)
        self.pool = self._find_pool(splits, splits.train.subset(torch.from_numpy(rows.rest)))
        self.pseudo = None if self.pseudo_labels is None else pseudo_labeled(self.pseudo_labels, self.pool, self.space)
        self.taught = self.labeled if self.pseudo is None else join(self.labeled, self.pseudo)
        self.decoder.rejects.check()  # the search for twins has read the streamed faces too
        self.identities = None if self.pool is None else number_people(self.pool.subjects)
        self._loaded = True
        counts = ", ".join(f"{len(faces)} {role}" for role, faces in self.roles().items())
        log.info("faces: %s; %d dropped as pixel-identical to a face across a split", counts, self.leaked)

    def _told(self, splits: Splits) -> Splits:
        """Return the splits with what is known of the set's provenance."""
        return Splits(*(None if faces is None else of_set(faces, self.provenance) for faces in splits))  # type: ignore[arg-type]

    def _validation(self, splits: Splits, rows: SplitRows) -> Faces:
        """Return the source's validation faces, or the carved ones that are no twin of a face learned from."""
        if splits.val is not None:
            return splits.val
        carved = splits.train.subset(torch.from_numpy(rows.val))
        return carved.subset(
            torch.from_numpy(np.flatnonzero(self._without_twins(carved, [self.labeled, self.heldout])))
        )

    def _find_pool(self, splits: Splits, rest: Faces) -> Faces | None:
        if self.pool_source is None and not self.pool_from_source:
            return None
        if self.pool_source is not None:
            pool = self.admission.of("unlabeled", of_set(self.pool_source.load(self.decoder), self.pool_provenance))
        elif splits.pool is not None:
            own = self.admission.of("pool", splits.pool)
            pool = join(own, rest) if len(rest) else own
        else:
            pool = rest if len(rest) else self.labeled
        pool = self._without_leaks(pool)
        if len(pool) < self.batch_unlabeled:
            raise DataError(
                f"the pool holds {len(pool)} faces, fewer than one batch; set batch.unlabeled={max(len(pool), 1)} or "
                "less, point unlabeled.root at a larger pool, or set unlabeled=none loss=[supervised]"
            )
        return pool

    def _without_leaks(self, pool: Faces) -> Faces:
        self.pool_checked = self.leak_check is True or (self.leak_check == "auto" and in_memory(pool.images))
        if self.leak_check and not self.pool_checked:
            log.warning(
                "the %d streamed faces of the pool are not compared with validation and test faces; "
                "data.leak_check=true reads each once to do so",
                len(pool),
            )
        if not self.pool_checked or (usable := self._without_twins(pool, [self.val, self.test])).all():
            return pool
        return pool.subset(torch.from_numpy(np.flatnonzero(usable)))

    def _without_twins(self, faces: Faces, held_out: list[Faces | None], admitted: Mask | None = None) -> Mask:
        """Return which of the `admitted` faces, all by default, are no twin of a held-out one; count those that are."""
        admitted = np.ones(len(faces), dtype=bool) if admitted is None else admitted
        present = [split for split in held_out if split is not None and len(split)]
        if not self.leak_check or not present:
            return admitted
        leaked = admitted & identical_to_any(digests(faces), np.concatenate([digests(split) for split in present]))
        self.leaked += int(leaked.sum())
        return admitted & ~leaked

    @property
    def _place(self) -> tuple[int, int]:
        """This rank and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> TrainLoader:
        rank, world = self._place
        batch = per_rank(self.batch_labeled, world, "batch.labeled")
        by_set = {"sources": self.taught.sources} if "sources" in signature(self.sampler).parameters else {}
        labeled_sampler = self.sampler(self.taught.labels, batch, rank, world, self.seed, **by_set)
        pool_sampler: Sampler | None = None
        if self.pool is not None:
            batch = per_rank(self.batch_unlabeled, world, "batch.unlabeled")
            pool_sampler = deal_pool(self.pool, batch, rank, world, self.seed)
        placed = self.placement
        labeled, pool = placed(self.taught), None if self.pool is None else placed(self.pool)
        loader = TrainLoader(
            labeled,
            labeled_sampler,
            pool,
            pool_sampler,
            self.epoch_steps,
            self.workers,
            self.decoder.rejects,
            placed.device,
        )
        loader.seek(self.position)
        return loader

    @property
    def people(self) -> int:
        """How many people the pool names, 0 where it names none."""
        return 0 if self.identities is None else int(self.identities.max()) + 1

    @property
    def class_counts(self) -> list[int]:
        """How many faces of each class people labeled."""
        return class_counts(self.labeled.labels, self.space)

    @property
    def taught_counts(self) -> list[int]:
        """How many faces of each class are taught, pseudo-labeled ones among them."""
        return class_counts(self.taught.labels, self.space)

    def eval_loader(self, faces: Faces) -> EvalLoader:
        """Return a loader of all `faces`, shared over the ranks without padding."""
        return EvalLoader(self.placement(faces), self.batch_eval, *self._place)

    @property
    def placement(self) -> Placement:
        """What puts faces on the device of the trainer, once there is one."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self._placement is None or self._placement.device != device:
            self._placement = Placement(self.decoder.resident, device)
        return self._placement

    def val_dataloader(self) -> EvalLoader | list[Any]:
        return self.eval_loader(self.val) if len(self.val) else []

    def test_dataloader(self) -> EvalLoader | list[Any]:
        return self.eval_loader(self.test) if self.test is not None else []

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if isinstance(batch, Batch) and batch.pool_rows is not None and self.identities is not None:
            self.identities = self.identities.to(batch.pool_rows.device)  # rows may have been moved ahead of the step
            return batch._replace(identities=self.identities[batch.pool_rows])
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if isinstance(batch, Batch):
            self.position = batch.position + 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        known = {"refused": self.admission.digest(), "channels": self.decoder.channels, "faces": self.digest}
        return {"position": self.position} | known

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.admission.require_same(state_dict.get("refused"))
        self.position = state_dict["position"]

    def roles(self) -> dict[str, Faces]:
        """Return the faces by the role they serve in; empty roles are left out."""
        named: dict[str, Faces | None] = {role: getattr(self, role) for role in ROLES}
        return {role: faces for role, faces in named.items() if faces is not None and len(faces)}

    @cached_property
    def digest(self) -> str:
        """A SHA-256 over the faces and their labels by role, but for pseudo-labels: equal wherever the files lie."""
        return manifest_hash({role: faces for role, faces in self.roles().items() if role != "pseudo"})

    def summary(self) -> dict[str, Any]:
        """Return what the report says of the data: counts by role and class, leaks dropped, the manifest's hash."""
        roles = self.roles()
        counts = {
            role: {name: int((faces.labels == label).sum()) for label, name in enumerate(self.space.classes)}
            for role, faces in roles.items()
            if role != "pool"
        }
        return {
            "faces": {role: len(faces) for role, faces in roles.items()},
            "per_class": counts,
            "leaked": self.leaked,
            "pool_checked": self.pool_checked,
            "rejected": len(self.decoder.rejects),
            "card": data_card(roles, self.space) | self.admission.card(),
            "manifest_sha256": manifest_hash(roles) if "pseudo" in roles else self.digest,
        }

    def write_records(self, run_dir: Path) -> None:
        """Write `manifest.parquet` and, where images were unreadable, `rejected.csv`."""
        write_manifest(run_dir / "manifest.parquet", self.roles())
        if len(self.decoder.rejects):
            self.decoder.rejects.write_csv(run_dir / "rejected.csv")


def deal_pool(pool: Faces, batch_size: int, rank: int, world: int, seed: int) -> Sampler:
    """Return the sampler of a pool: by weight where its sets have weights, else each face once per pass."""
    images = pool.images
    if isinstance(images, JoinedImages) and images.weights is not None:
        return MixedSampler(images.sizes, images.weights, batch_size, rank, world, seed)
    return ShuffledSampler(len(pool), batch_size, rank, world, seed)
