"""Parts of files, local or behind a URL: the bytes from an offset on."""

import io
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import fsspec
from fsspec.exceptions import FSTimeoutError

from fer_ssl.errors import ConfigError, DataError, UnreachableError

log = logging.getLogger(__name__)

OPEN_FILES = 64
BLOCK = 2**22  # bytes asked for at once while a whole remote file is read
TIMEOUT = 30.0  # seconds
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt
GONE = (FileNotFoundError, PermissionError)
EXTRAS = {"s3": "s3", "s3a": "s3"}  # protocols of which an extra of this package brings the client


class LocalFiles:
    """Files on a disk, read at an offset without a position that processes could disturb for one another.

    A memory map would save one copy, but every page it touched would count as memory of the process.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._open: dict[int, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths, "_open": {}}

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def read(self, file: int, offset: int, size: int) -> bytes:
        """Return at most `size` bytes of a file; raise UnreachableError for a file that is not there."""
        descriptor = self._open.get(file)
        return os.pread(self._descriptor(file) if descriptor is None else descriptor, size, offset)

    def read_many(self, files: list[int], offsets: list[int], sizes: list[int]) -> list[bytes]:
        return [self.read(*place) for place in zip(files, offsets, sizes, strict=True)]

    def size(self, file: int) -> int:
        return os.fstat(self._descriptor(file)).st_size

    def version(self, file: int) -> str:
        """Return what changes when the file does."""
        status = os.fstat(self._descriptor(file))
        return f"{status.st_size} {status.st_mtime_ns}"

    def _descriptor(self, file: int) -> int:
        if file not in self._open:
            if len(self._open) >= OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            try:
                self._open[file] = os.open(self.paths[file], os.O_RDONLY)
            except OSError as error:
                raise UnreachableError(
                    f"{self.paths[file]} cannot be opened ({error.strerror}); restore it and continue the run with "
                    "ckpt_path=last"
                ) from error
        return self._open[file]


class RemoteFiles:
    """Files behind URLs that fsspec knows (http, https, s3, ...), read by ranges, many at once.

    A server that does not answer is asked again after each of `waits` seconds, then UnreachableError.
    """

    def __init__(self, paths: Sequence[str], waits: Sequence[float] = WAITS, timeout: float = TIMEOUT) -> None:
        self.paths = paths
        self.waits = waits
        self.timeout = timeout

    def read(self, file: int, offset: int, size: int) -> bytes:
        """Return `size` bytes of a file, fewer at its end."""
        return self.read_many([file], [offset], [size])[0]

    def read_many(self, files: list[int], offsets: list[int], sizes: list[int]) -> list[bytes]:
        """Return parts of files in the order asked for; only the missing ones are asked for again."""
        found: dict[int, bytes] = {}

        def ask() -> None:
            missing = [row for row in range(len(files)) if row not in found]
            paths = [self.paths[files[row]] for row in missing]
            starts, ends = ([offsets[row] for row in missing], [offsets[row] + sizes[row] for row in missing])
            answers = self._fs.cat_ranges(paths, starts, ends, on_error="return", **self._limit)
            found.update({row: part for row, part in zip(missing, answers, strict=True) if isinstance(part, bytes)})
            for row, part in zip(missing, answers, strict=True):
                if isinstance(part, BaseException):
                    raise part
                if len(part) > sizes[row]:
                    raise DataError(
                        f"the server of {self.paths[files[row]]} sends whole files where a part was asked for; use one "
                        "that answers range requests, or copy the shards and set unlabeled.root=<dir>"
                    )

        self._persist(ask, self.paths[files[0]] if files else "")
        return [found[row] for row in range(len(files))]

    def size(self, file: int) -> int:
        size: int | None = self._persist(
            lambda: self._fs.info(self.paths[file], **self._limit)["size"], self.paths[file]
        )
        if size is None:
            raise DataError(
                f"the server of {self.paths[file]} does not tell its size; copy the shards and set unlabeled.root=<dir>"
            )
        return size

    def version(self, file: int) -> str:
        """Return what changes when the file does, as far as the server tells."""
        info = self._persist(lambda: self._fs.info(self.paths[file], **self._limit), self.paths[file])
        return " ".join(str(info.get(key)) for key in ("size", "ETag", "etag", "mtime", "LastModified"))

    @property
    def _fs(self) -> Any:
        return filesystem(self.paths[0])  # fsspec keeps one for each process

    @property
    def _limit(self) -> dict[str, float]:
        return {"timeout": self.timeout} if self._fs.async_impl else {}

    def _persist(self, ask: Callable[[], Any], path: str) -> Any:
        for wait in (*self.waits, None):
            try:
                return ask()
            except (OSError, FSTimeoutError, *_client_errors()) as error:
                if _is_gone(error):
                    raise UnreachableError(
                        f"{path} is not there or not readable ({type(error).__name__}); restore it and continue the "
                        "run with ckpt_path=last, or set unlabeled.root=<urls>"
                    ) from error
                if wait is None:
                    reason = str(error) or type(error).__name__
                    raise UnreachableError(
                        f"the server of {path} did not answer {len(self.waits) + 1} times ({reason}); when it does, "
                        "continue the run with ckpt_path=last"
                    ) from error
                log.warning("no answer for %s (%s); asking again in %g s", path, error or type(error).__name__, wait)
                time.sleep(wait)
        return None


def _is_gone(error: Exception) -> bool:
    """Say whether the server answered that there is no such file; fsspec says so too of servers it cannot reach."""
    cause = error.__cause__
    told = cause is None or isinstance(cause, GONE) or getattr(cause, "status", None) in (403, 404, 410)
    return isinstance(error, GONE) and told


def _client_errors() -> tuple[type[Exception], ...]:
    """Return what aiohttp raises beside OSError, where fsspec uses it."""
    try:
        from aiohttp import ClientError
    except ImportError:
        return ()
    return (ClientError,)


class RemoteStream(io.RawIOBase):
    """A whole remote file as Python's file objects are, read on demand."""

    def __init__(self, files: RemoteFiles, file: int) -> None:
        self.files, self.file, self.length = files, file, files.size(file)
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + (0, self.position, self.length)[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self.length - self.position)
        data = self.files.read(self.file, self.position, size) if size > 0 else b""
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def filesystem(url: str) -> Any:
    """Return fsspec's file system of a URL; raise ConfigError where its client is not installed."""
    protocol = url.split("://")[0]
    try:
        return fsspec.filesystem(protocol)
    except ImportError as error:
        extra = f"pip install 'fer-ssl[{EXTRAS[protocol]}]'" if protocol in EXTRAS else str(error)
        raise ConfigError(f"{url} needs a client for {protocol}: {extra}") from error
    except ValueError as error:
        raise ConfigError(f"{url} has an unknown protocol ({error}); set unlabeled.root=<dir or url>") from error
