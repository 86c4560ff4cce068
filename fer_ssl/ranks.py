"""Ranks that notice when one of them dies: each holds a lock for as long as it lives."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_ssl import dist
from fer_ssl.errors import ConfigError, FerError, RankError
from fer_ssl.jobs.lock import held

EVERY = 1.0  # seconds between two looks at the others
GRACE = 15.0  # seconds that a collective gets to notice by itself that a rank is gone
WAIT = 3.0  # seconds for a rank that ended to leave its reason


@contextmanager
def together(run_dir: Path, rank: int, world: int) -> Iterator[None]:
    """Train as one of `world` ranks, none of which outlives the death of another by more than GRACE.

    Raises RankError with the number of the rank that died and, if it told one, the reason.
    """
    if world == 1:
        yield
        return
    roll = Roll(run_dir / ".ranks", world)
    over = threading.Event()
    with roll.present(rank):
        threading.Thread(target=_watch, args=(roll, over), daemon=True).start()
        try:
            yield
        except FerError:
            raise
        except Exception as error:
            if (told := roll.wait_for_lost()) is None:
                raise
            raise RankError(told) from error
        finally:
            over.set()


class Roll:
    """One file per rank in a folder that all of them see, locked by the rank while it lives."""

    def __init__(self, folder: Path, world: int) -> None:
        self.folder = folder
        self.world = world

    @contextmanager
    def present(self, rank: int) -> Iterator[None]:
        """Be seen as alive; an error that ends this rank stays in its file for the others to read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / str(rank)
        with place.open("w") as file:
            if not held(file.fileno()):
                raise ConfigError(f"rank {rank} of another run works in {self.folder.parent}; set hydra.run.dir=<dir>")
            try:
                yield
            except Exception as error:
                file.write(f"{type(error).__name__}: {error}".partition("\n")[0])
                raise
            except KeyboardInterrupt:
                file.write("it was interrupted")
                raise
            finally:
                if sys.exc_info()[0] is None or issubclass(sys.exc_info()[0] or object, SystemExit):
                    place.unlink(missing_ok=True)

    def lost(self) -> dict[int, str]:
        """Return the ranks that ended before their time, each with the reason it left; a killed one left none."""
        return {rank: reason for rank in range(self.world) if (reason := self._reason(rank)) is not None}

    def _reason(self, rank: int) -> str | None:
        try:
            with (self.folder / str(rank)).open("r+") as file:
                return file.read() if held(file.fileno()) else None
        except OSError:
            return None

    def wait_for_lost(self) -> str | None:
        """Return the sentence about the ranks that are lost, None where all are there after WAIT seconds."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if lost := self.lost():
                return sentence(lost)
            time.sleep(0.1)
        return None


def sentence(lost: dict[int, str]) -> str:
    """Return what is told of lost ranks and how to go on."""
    ends = [f"rank {rank} ended ({reason})" if reason else f"rank {rank} was killed" for rank, reason in lost.items()]
    return f"{' and '.join(ends)}, and the others cannot go on without it; start the run again with ckpt_path=auto"


def _watch(roll: Roll, over: threading.Event) -> None:
    """End this process where a rank is lost and the collective that waits for it has not noticed in time.

    Until the ranks have met, one that was never seen alive may have left its file in an earlier run.
    """
    alive: set[int] = set()
    since: float | None = None
    while not over.wait(EVERY):
        lost = roll.lost()
        alive |= set(range(roll.world)) - (set() if dist.world_size() > 1 else set(lost))
        gone = {rank: reason for rank, reason in lost.items() if rank in alive}
        since = (since or time.monotonic()) if gone else None
        if since is not None and time.monotonic() - since > GRACE:
            print(f"error: {sentence(gone)}", file=sys.stderr, flush=True)
            os._exit(1)
