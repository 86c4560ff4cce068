"""A file that is locked for as long as its process lives, however it ends."""

import os


def held(descriptor: int) -> bool:
    """Lock the open file for as long as it is open; say whether that succeeded."""
    if os.name != "posix":
        return True  # without such locks the second run is the user's to avoid
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
