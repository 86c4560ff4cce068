"""The errors a user can mend."""


class FerError(Exception):
    """A user's mistake, told in one sentence: what was wrong, where, and the override or command that mends it."""


class DataError(FerError):
    """Data that cannot be read, or that contradicts the configuration."""


class UnreachableError(DataError):
    """Storage that stopped answering: no fault of the face that was asked for, so it must not be left out."""


class ConfigError(FerError):
    """A configuration whose parts cannot work together."""


class StorageError(FerError):
    """A place that can no longer be written, such as a full disk."""


class WorkerError(FerError):
    """A process that reads data for the run and died."""


class RankError(FerError):
    """A process that trained together with this one and died."""


class DivergedError(FerError):
    """A loss term that is no longer finite."""
