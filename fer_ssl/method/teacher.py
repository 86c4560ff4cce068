"""The averaged model, and who pseudo-labels."""

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from fer_ssl.errors import ConfigError
from fer_ssl.method.choices import require_choice
from fer_ssl.nn.ema import Buffers, update_ema
from fer_ssl.types import Output


class Teacher(nn.Module):
    """Average the student's weights, and pseudo-label with the average or with the student itself.

    `average` is always kept, frozen and in eval mode: it is the model that is reported. `source` says who
    pseudo-labels, `mode` in which mode the student does so, `views` over which views probabilities are averaged.
    `warmup` lowers the decay to (1 + t) / (10 + t) in the first updates. Raises ConfigError for an unknown choice and
    for an average in train mode.
    """

    updates: Tensor

    def __init__(
        self,
        student: nn.Module,
        decay: float = 0.999,
        warmup: bool = True,
        buffers: Buffers = "average",
        source: Literal["ema", "student"] = "ema",
        mode: Literal["eval", "train"] = "eval",
        views: Sequence[str] = ("weak",),
    ) -> None:
        super().__init__()
        require_choice("teacher.buffers", buffers, ("average", "copy"))
        require_choice("teacher.source", source, ("ema", "student"))
        require_choice("teacher.mode", mode, ("eval", "train"))
        if source == "ema" and mode == "train":
            raise ConfigError(
                "the averaged teacher only runs in eval mode; set teacher.mode=eval or teacher.source=student"
            )
        for view in views:
            require_choice("teacher.views", view, ("weak", "weak2"))
        self.decay = decay
        self.warmup = warmup
        self.buffers_rule = buffers
        self.source = source
        self.mode = mode
        self.views = tuple(views)
        self.average = copy.deepcopy(student).requires_grad_(False).eval()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._updates = 0
        self.register_load_state_dict_post_hook(_resume)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the average stays in eval mode."""
        super().train(mode)
        self.average.eval()
        return self

    @torch.no_grad()
    def forward(self, student: nn.Module, images: Tensor) -> Output:
        """Return what the pseudo-labeler says of `images` [B, channels, H, W], without gradient."""
        if self.source == "ema":
            return self._call(self.average, images)
        was_training = student.training
        student.train(self.mode == "train")
        output = self._call(student, images)
        student.train(was_training)
        return output

    def update(self, student: nn.Module) -> None:
        """Average `student` in; call once after each optimizer step."""
        update_ema(self.average, student, self.current_decay, self.buffers_rule)
        self._updates += 1
        self.updates.add_(1)

    @property
    def shares_student_pass(self) -> bool:
        """Whether pseudo-labels are read from the very pass that the student trains on (Ada-CM)."""
        return self.source == "student" and self.mode == "train"

    @property
    def current_decay(self) -> float:
        """The decay of the next update."""
        return min(self.decay, (1 + self._updates) / (10 + self._updates)) if self.warmup else self.decay

    @staticmethod
    def _call(model: nn.Module, images: Tensor) -> Output:
        output: Output = model(images)
        return output


# the count is read on the host in every step; the buffer exists to be saved and is read once, here
def _resume(teacher: nn.Module, _: Any) -> None:
    assert isinstance(teacher, Teacher)
    teacher._updates = int(teacher.updates)
