"""The one LightningModule: a training step told as a story, made of the parts it is given."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.profiler import record_function

from fer_ssl import dist
from fer_ssl.data.module import FaceData
from fer_ssl.dist import random_states, set_random_state
from fer_ssl.method.choices import require_choice
from fer_ssl.method.functional import one_hot
from fer_ssl.method.losses import Term
from fer_ssl.method.memory import Forgetful, Memory
from fer_ssl.method.mix import require_reading
from fer_ssl.method.needs import needs_of
from fer_ssl.method.prototypes import Prototypes
from fer_ssl.method.teacher import Teacher
from fer_ssl.method.thresholds import Threshold
from fer_ssl.metrics import ExpressionMetrics
from fer_ssl.metrics.tally import Tally
from fer_ssl.nn.model import FaceModel
from fer_ssl.nn.passes import Outputs, Passes, forward_passes, forward_views
from fer_ssl.nn.sharding import Skeleton, shard
from fer_ssl.nn.sync_norm import synchronize_norms
from fer_ssl.optim import build_optimizer
from fer_ssl.types import Batch, EvalBatch, LabeledView, LabelSpace, Output, Step
from fer_ssl.views.draw import Views, view_generator

ORDER = ("weak", "weak2", "labeled", "strong", "strong2", "rotated")  # of the student's views in its pass


class SemiSupervised(LightningModule):
    """A student learns from labels and from what its teacher says of unlabeled faces.

    `passes` says which of the student's views share a pass, and batch statistics: all (`one`), the clean ones and the
    strong ones (`two`), or none (`each`), in the order weak, weak2, labeled, strong (Ada-CM's). `sync_batchnorm` takes
    batch statistics over all ranks; otherwise each has its own, and only the running ones are averaged.
    """

    def __init__(
        self,
        model: FaceModel,
        teacher: Callable[[nn.Module], Teacher],
        memory: Forgetful | Memory | Prototypes,
        target: nn.Module,
        threshold: Threshold,
        mixer: nn.Module,
        terms: Mapping[str, Term],
        views: Views,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        space: LabelSpace,
        weight_decay: float,
        epoch_steps: int,
        seed: int,
        config: dict[str, Any],
        passes: Passes = "one",
        sync_batchnorm: bool = True,
    ) -> None:
        super().__init__()
        require_choice("passes", passes, ("one", "two", "each"))
        # DistributedDataParallel waits for every parameter that may get a gradient
        model.freeze_unread(
            logits=any(term.uses_logits for term in terms.values()),
            embeddings=any(term.uses_embeddings for term in terms.values()),
        )
        self.model = model
        self.teacher = teacher(model)
        self.memory = memory
        self.target = target
        self.threshold = threshold
        self.mixer = mixer
        self.terms = nn.ModuleDict(dict(terms))
        self.views = views
        self.optimizer, self.schedule, self.weight_decay = optimizer, schedule, weight_decay
        self.space, self.seed, self.passes, self.epoch_steps = space, seed, passes, epoch_steps
        self.needs = needs_of(terms, self.teacher, memory, threshold)
        require_reading(mixer, [name for name, term in terms.items() if term.mixed_views])
        self.sync_batchnorm = sync_batchnorm
        self.config = config
        self._whole: Skeleton[FaceModel] | None = None
        self._rng: dict[str, Tensor] | None = None
        self.tally = Tally(tuple(terms), space.classes)
        self.metrics = ExpressionMetrics(len(space))

    def configure_model(self) -> None:
        if self.sync_batchnorm and self.trainer.world_size > 1:
            synchronize_norms(self.model, self.trainer.strategy.root_device)
        if self.device_mesh is not None:  # that of trainer=fsdp
            self._whole = Skeleton(self.model)
            learning = [term for term in self.terms.values() if list(term.parameters())]
            for part in (self.model, self.teacher.average, *learning):
                shard(part, self.device_mesh)

    def gather_networks(self) -> None:
        """Hold whole networks on every rank again after sharded training; every rank must call it."""
        if self._whole is not None:
            device = self.trainer.strategy.root_device
            self.model, self.teacher.average = (
                self._whole.filled(network, device) for network in (self.model, self.teacher.average)
            )

    @record_function("loss")
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images = self.draw_views(batch)
        teacher = self.run_teacher(images)  # first: what it needs is free again when the student keeps its activations
        student = self.run_student(chosen(images, self.needs.student_views))
        step = self.pseudo_label(batch, student, teacher)
        if self.needs.mixed_views:
            step = self.mix(chosen(images, self.needs.mixed_views), step, batch.position)
        losses = [term.weighted(step) for term in self.terms.values()]  # type: ignore[operator]
        total = torch.stack(losses).sum()
        self.tally.add(torch.stack([total, *losses]).detach(), step, batch.truth)
        return total

    @record_function("views")
    def draw_views(self, batch: Batch) -> dict[str, Tensor]:
        """Return the images [B, channels, H, W] of every view that a part asks for."""
        sources = {"labeled": batch.labeled} | ({} if batch.unlabeled is None else {"unlabeled": batch.unlabeled})
        draw = (self.seed, batch.position)
        return self.views.draw(sources, self.needs.views, draw, self.global_rank, self.trainer.world_size)

    @record_function("student")
    def run_student(self, images: Mapping[str, Tensor]) -> Outputs:
        """Return the student's outputs with gradient, by view."""
        return forward_passes(self.model, images, self.passes, self.needs.shown_views)

    @record_function("pseudo-label")
    def pseudo_label(self, batch: Batch, student: Outputs, teacher: Outputs) -> Step:
        """Return the step: what the teacher says of the unlabeled faces and which of it is trusted."""
        teacher = teacher | {name: detached(student[name]) for name in self.needs.shared_views}
        known = Step(student, teacher, batch.labels, batch.soft_labels, None, None, None, None, self.global_step)
        known = replace(known, identities=batch.identities)
        if not self.needs.pseudo_labels:
            return known
        probs = torch.stack([as_probs(teacher[name]) for name in self.teacher.views]).mean(0)
        seen = teacher[self.teacher.views[0]]
        witness = {"teacher": teacher, "student": student}.get(self.threshold.needs_labeled or "")
        labeled = None if witness is None else LabeledView(as_probs(witness["labeled"]), batch.labels)
        with torch.autocast(self.device.type, enabled=False):  # bf16 holds no confidence between .996 and 1
            probs, recalled = self.memory(probs, seen, teacher.get("labeled"), batch.labels, self.global_step)
            gate = self.threshold(probs, labeled, batch.pool_rows)
            pseudo_labels, targets = self.target(self.threshold.align(probs))
        known = replace(known, probs=probs, recalled=recalled)
        return replace(known, pseudo_labels=pseudo_labels, targets=targets, gate=gate)

    @record_function("mix")
    def mix(self, images: Mapping[str, Tensor], step: Step, position: int) -> Step:
        """Return the step with the student's outputs on mixed faces of all `images`, and their targets."""
        taught = {"labeled": one_hot(step.labels, len(self.space))}
        targets = {name: taught.get(name, step.targets) for name in images}
        mixed = self.mixer(images, targets, view_generator("mix", self.seed, position).initial_seed())
        outputs = {f"mixed_{name}": output for name, output in self.run_student(mixed.images).items()}
        return replace(step, student={**step.student, **outputs}, mixed=mixed.targets)

    @record_function("teacher")
    @torch.no_grad()
    def run_teacher(self, images: Mapping[str, Tensor]) -> Outputs:
        """Return what the teacher says of its views, without gradient, less those it reads from the student's pass."""
        own = {name: images[name] for name in sorted(self.needs.teacher_views - self.needs.shared_views)}
        return forward_views(partial(self.teacher, self.model), own)

    @record_function("backward")
    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss, *args, **kwargs)

    @record_function("optimizer")
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        # Not on_train_batch_end: callbacks run before the module there, so a checkpoint would hold a stale teacher.
        super().optimizer_step(*args, **kwargs)
        if not self.sync_batchnorm:
            dist.average_([buffer for buffer in self.model.buffers() if buffer.is_floating_point()])
        with record_function("average"):
            self.teacher.update(self.model)
        if self.needs.pseudo_labels and (self.global_step + 1) % self.epoch_steps == 0:
            self.end_threshold_epoch()

    @torch.no_grad()
    def end_threshold_epoch(self) -> None:
        """Let the threshold look at the fold that it observes, if any, and close its epoch."""
        if self.threshold.observes:
            data: FaceData = self.trainer.datamodule  # type: ignore[attr-defined]
            fold = {"heldout": data.heldout, "labeled": data.labeled}[self.threshold.observes]
            seen = [(self.predict(batch.images.to(self.device)), batch.labels) for batch in data.eval_loader(fold)]
            probs, labels = (torch.cat(column) for column in zip(*seen, strict=True))
            self.threshold.observe(LabeledView(probs, labels.to(self.device)))
        self.threshold.end_epoch()

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(nn.ModuleList([self.model, self.terms]), self.optimizer, self.weight_decay)
        schedule = self.schedule(optimizer, steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: EvalBatch, batch_idx: int) -> None:
        self.metrics.update(self.predict(batch.images), batch.labels)

    def predict(self, images: Tensor) -> Tensor:
        """Return the probabilities [B, C] that the averaged model gives to raw faces uint8 [B, channels, H, W]."""
        return as_probs(self.teacher.average(images))

    def on_validation_epoch_end(self) -> None:
        scores = self.metrics.compute()
        self.metrics.reset()
        # Telemetry hands these to the loggers: Lightning would log them one step early
        row = {"val/macro_f1": scores.macro_f1, "val/accuracy": scores.accuracy}
        self.log_dict(row, logger=False, rank_zero_only=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.tally.check_finite()
        checkpoint["config"] = self.config
        checkpoint["classes"] = list(self.space.classes)
        checkpoint["learns_labels"] = self.needs.learns_labels
        checkpoint["rng"] = random_states(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._rng = checkpoint["rng"]

    def on_train_start(self) -> None:
        if self._rng is not None:
            set_random_state(self._rng, self.device)
        self.model.train()


def chosen(images: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return those `images` that `names` lists, in the order of a student's pass."""
    return {name: images[name] for name in ORDER if name in names}


def as_probs(output: Output) -> Tensor:
    """Return softmax probabilities [B, C] in float32, whatever the precision of the logits."""
    return output.logits.detach().float().softmax(1)


def detached(output: Output) -> Output:
    """Return the same values without their graph."""
    return Output(output.logits.detach(), output.embeddings.detach())
