"""What asks a run to leave: a scheduler, or a person at the keyboard."""

import logging
import signal
import threading
from types import FrameType

log = logging.getLogger(__name__)

SIGNALS = ("SIGTERM", "SIGUSR1", "SIGINT")


class Leaving:
    """Remembers the first SIGTERM, SIGUSR1 or Ctrl-C, for the run to leave at the end of a step.

    A second Ctrl-C is a KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.asked_by: signal.Signals | None = None

    def listen(self) -> None:
        """Take the signals over; Lightning, which listens to some, gives them all back when the run ends."""
        if threading.current_thread() is threading.main_thread():  # no other may listen
            for name in SIGNALS:
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), self._remember)

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.asked_by is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked_by = self.asked_by or signal.Signals(number)
        log.warning("%s: the run saves itself at the end of this step and leaves", self.asked_by.name)
