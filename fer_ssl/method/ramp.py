"""A number that rises or falls while a run trains."""

from dataclasses import dataclass

from fer_ssl.errors import ConfigError


@dataclass(frozen=True)
class Ramp:
    """Rise linearly from 0 to `peak` between the shares `start` and `end` of a run of `steps` optimizer steps.

    It is a function of the step alone, so a resumed run needs no state of it. Raises ConfigError unless
    0 <= start < end <= 1.
    """

    peak: float
    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise ConfigError(
                f"a ramp cannot lead from {self.start} to {self.end} of training; set its start and end, as "
                "loss.<term>.weight.start, with 0 <= start < end <= 1, or a number in its place"
            )

    def at(self, global_step: int) -> float:
        """Return the number in optimizer step `global_step`, counted from 0."""
        return self.peak * self.passed(global_step)

    def passed(self, global_step: int) -> float:
        """Return the share of its way that is behind it in optimizer step `global_step`."""
        return min(max((global_step / self.steps - self.start) / (self.end - self.start), 0.0), 1.0)


class Fall(Ramp):
    """Fall linearly from `peak` to 0 between these shares of a run."""

    def at(self, global_step: int) -> float:
        """Return the number in optimizer step `global_step`, counted from 0."""
        return self.peak * (1.0 - self.passed(global_step))


def checked(number: float | Ramp, setting: str) -> float | Ramp:
    """Return `number`; raise ConfigError, naming the `setting` of a loss term, for what is neither that nor a ramp."""
    if not isinstance(number, int | float | Ramp):
        raise ConfigError(f"{setting} of a loss is no number but {number!r}; set loss.<term>.{setting}=<number>")
    return number


def at(number: float | Ramp, global_step: int) -> float:
    """Return `number` as it stands in optimizer step `global_step`; one that is no ramp stands still."""
    return number.at(global_step) if isinstance(number, Ramp) else number
