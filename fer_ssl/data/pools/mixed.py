"""Several pools as one, each with its share of a batch."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fer_ssl.data.decode import Decoder
from fer_ssl.data.joined import join
from fer_ssl.data.pools.folder import FolderPool
from fer_ssl.data.pools.lmdb import LmdbPool
from fer_ssl.data.pools.parquet import ParquetPool
from fer_ssl.data.pools.prepared import PreparedPool
from fer_ssl.data.pools.recordio import RecordPool
from fer_ssl.data.pools.shards import ShardPool
from fer_ssl.data.pools.video import VideoPool
from fer_ssl.data.provenance import of_set, to_provenance
from fer_ssl.errors import ConfigError
from fer_ssl.types import Faces

KINDS = {
    "folder": FolderPool,
    "lmdb": LmdbPool,
    "parquet": ParquetPool,
    "prepared": PreparedPool,
    "recordio": RecordPool,
    "shards": ShardPool,
    "video": VideoPool,
}


class Loads(Protocol):
    """Any pool."""

    def load(self, decoder: Decoder) -> Faces: ...


class MixedPool:
    """The faces of several `pools`, a mapping each: `kind`, `weight` (default 1), and what that kind of pool takes.

    `provenance` tells where the faces of a pool come from, if it is not that of all. A pool gives `weight` of the sum
    of all weights to every batch, however many faces it has. The ids begin with those of the first pool; people are
    known where all pools name them.
    """

    def __init__(self, pools: Sequence[Mapping[str, Any]]) -> None:
        if not pools:
            raise ConfigError("unlabeled=mixed mixes nothing; set 'unlabeled.pools=[{kind:folder,root:<dir>},...]'")
        self.weights = tuple(_weight(entry) for entry in pools)
        self.pools = [_pool(entry) for entry in pools]
        self.provenance = [to_provenance(entry["provenance"]) if "provenance" in entry else None for entry in pools]

    def load(self, decoder: Decoder) -> Faces:
        """Return the faces of all pools, one pool behind the other."""
        loaded = [pool.load(decoder) for pool in self.pools]
        told = [of_set(faces, known) if known else faces for faces, known in zip(loaded, self.provenance, strict=True)]
        return join(*told, weights=self.weights)


def _weight(entry: Mapping[str, Any]) -> float:
    weight = float(entry["weight"]) if "weight" in entry else 1.0
    if not 0 < weight < float("inf"):
        raise ConfigError(f"a pool of unlabeled.pools has weight {weight}; set a number above 0, or leave the pool out")
    return weight


def _pool(entry: Mapping[str, Any]) -> Loads:
    parameters = {key: value for key, value in entry.items() if key not in ("kind", "weight", "provenance")}
    if entry.get("kind") not in KINDS or "root" not in parameters:
        raise ConfigError(
            f"a pool of unlabeled.pools is {dict(entry)}; give each a kind of {', '.join(KINDS)} and a root"
        )
    try:
        pool: Loads = KINDS[entry["kind"]](**parameters)
    except TypeError as error:
        raise ConfigError(f"a pool of unlabeled.pools is {dict(entry)}: {error}; remove that key") from error
    return pool
