"""Which faces make up batch k: random access into shuffled decks, so a position is the whole state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fer_ssl.data.permutation import KeyedPermutation
from fer_ssl.errors import ConfigError

STORED = 2**20  # items
CYCLE = 2**12  # slots after which the order of a mixture repeats: weights count in parts of it


class SamplerState(TypedDict):
    """Where a sampler stands; enough to continue it exactly."""

    position: int
    seed: int


def per_rank(batch_size: int, world: int, override: str) -> int:
    """Return each rank's share of a batch; raises ConfigError, naming the `override`, where shares would differ."""
    if batch_size % world:
        more = -(-batch_size // world) * world
        raise ConfigError(f"{override}={batch_size} does not divide over {world} ranks; set {override}={more}")
    return batch_size // world


class Deck:
    """An endless sequence of passes over `size` items, each pass shuffled by its own key.

    More than `STORED` items are shuffled by a permutation that is computed and takes no memory.
    """

    def __init__(self, size: int, key: tuple[int, ...]) -> None:
        self.size = size
        self.key = key
        self._cached: tuple[int, NDArray[np.int64]] | None = None

    def _pass(self, number: int) -> NDArray[np.int64] | KeyedPermutation:
        if self.size > STORED:
            return KeyedPermutation(self.size, (*self.key, number))
        if self._cached is None or self._cached[0] != number:
            self._cached = number, np.random.default_rng((*self.key, number)).permutation(self.size)
        return self._cached[1]

    def draw(self, start: int, count: int) -> NDArray[np.int64]:
        """Return cards `start` to `start + count` of the endless sequence."""
        drawn = []
        while count > 0:
            number, offset = divmod(start, self.size)
            cards = self._pass(number)[offset : offset + count]
            drawn.append(cards)
            start, count = start + len(cards), count - len(cards)
        return np.concatenate(drawn) if drawn else np.empty(0, np.int64)


class Sampler:
    """Endless batches of indices: every rank knows the global batch and takes its slice of it.

    `batch_size` counts the faces of one rank, so W ranks of B equal one rank of W * B.
    """

    def __init__(self, batch_size: int, rank: int, world: int, seed: int) -> None:
        self.batch_size = batch_size
        self.rank = rank
        self.world = world
        self.seed = seed
        self.position = 0

    @property
    def global_batch_size(self) -> int:
        return self.batch_size * self.world

    def global_batch(self, position: int) -> NDArray[np.int64]:
        """Return the indices of batch `position` over all ranks."""
        raise NotImplementedError

    def batch(self, position: int) -> Tensor:
        """Return this rank's indices of batch `position`, int64 [batch_size]."""
        first = self.rank * self.batch_size
        return torch.from_numpy(self.global_batch(position)[first : first + self.batch_size])

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            indices = self.batch(self.position)
            self.position += 1
            yield indices

    def state_dict(self) -> SamplerState:
        return {"position": self.position, "seed": self.seed}

    def load_state_dict(self, state: SamplerState) -> None:
        self.position, self.seed = state["position"], state["seed"]
        self._deal()

    def _deal(self) -> None:
        """Lay out the decks of the present seed."""


class ShuffledSampler(Sampler):
    """Every face once per pass, in shuffled order: the natural distribution.

    Raises ConfigError for a set smaller than the global batch.
    """

    def __init__(self, size: int, batch_size: int, rank: int = 0, world: int = 1, seed: int = 0) -> None:
        super().__init__(batch_size, rank, world, seed)
        self.size = size
        self._deal()

    def _deal(self) -> None:
        self._deck = Deck(self.size, (self.seed,))

    def global_batch(self, position: int) -> NDArray[np.int64]:
        return self._deck.draw(position * self.global_batch_size, self.global_batch_size)


class MixedSampler(Sampler):
    """Sets that lie behind one another, `sizes` faces each, in batches to which each contributes by its weight.

    Every set is a deck of its own; in any stretch of the batches it holds its share, to within one face or so.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, rank, world, seed)
        self.sizes = sizes
        self.starts = np.cumsum([0, *sizes])
        self.cycle = interleaved(weights)
        self.before = np.cumsum(np.eye(len(sizes), dtype=np.int64)[self.cycle], 0)
        self.before = np.concatenate([np.zeros_like(self.before[:1]), self.before])  # [CYCLE + 1, sets]
        self._deal()

    def _deal(self) -> None:
        self._decks = [Deck(size, (self.seed, number, 2)) for number, size in enumerate(self.sizes)]

    def _drawn_before(self, slot: int) -> NDArray[np.int64]:
        """Return how many faces of each set lie before a slot of the endless sequence."""
        cycles, within = divmod(slot, len(self.cycle))
        drawn: NDArray[np.int64] = cycles * self.before[-1] + self.before[within]
        return drawn

    def global_batch(self, position: int) -> NDArray[np.int64]:
        first = position * self.global_batch_size
        slots = np.arange(first, first + self.global_batch_size)
        owners, rows = self.cycle[slots % len(self.cycle)], np.empty_like(slots)
        drawn = zip(self._drawn_before(first).tolist(), self._decks, self.starts.tolist(), strict=False)
        for owner, (before, deck, start) in enumerate(drawn):
            mine = owners == owner
            rows[mine] = start + deck.draw(before, int(mine.sum()))
        return rows


def interleaved(weights: Sequence[float]) -> NDArray[np.int64]:
    """Return which set each of about CYCLE slots belongs to: shares by weight, at least one slot, evenly spread."""
    counts = np.maximum(np.round(np.array(weights) / sum(weights) * CYCLE).astype(int), 1)
    owners = np.repeat(np.arange(len(counts)), counts)
    due = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    return owners[np.argsort(due, kind="stable")]


class BalancedSampler(Sampler):
    """Labeled batches with floor or ceil(batch / C) faces per class, exactly equal over C batches.

    `labels` [N] are dealt from one shuffled deck per class present: every face once per pass of its class. The faces
    that do not divide evenly rotate over the classes. Raises ConfigError for a global batch smaller than the classes.
    """

    def __init__(self, labels: ArrayLike, batch_size: int, rank: int = 0, world: int = 1, seed: int = 0) -> None:
        super().__init__(batch_size, rank, world, seed)
        self.labels = np.asarray(labels)
        self.members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        if self.global_batch_size < len(self.members):
            raise ConfigError(
                f"batch.labeled={self.global_batch_size} is smaller than the {len(self.members)} classes that "
                f"sampler=balanced deals; set batch.labeled={len(self.members)} or more, or sampler=natural"
            )
        self._deal()

    def _deal(self) -> None:
        self._decks = [self._deck(label, rows) for label, rows in enumerate(self.members)]

    def _deck(self, label: int, rows: NDArray[np.int64]) -> "Deck | Turns":
        """Return what deals the faces `rows` [M] of a class: numbers below M, without end."""
        return Deck(len(rows), (self.seed, label))

    def _dealt_before(self, position: int, label: int) -> int:
        """Return how many faces of a class all batches before `position` hold."""
        share, remainder = divmod(self.global_batch_size, len(self.members))
        return position * share + (position * remainder + len(self.members) - 1 - label) // len(self.members)

    def global_batch(self, position: int) -> NDArray[np.int64]:
        drawn = []
        for label, (deck, rows) in enumerate(zip(self._decks, self.members, strict=True)):
            start, stop = (self._dealt_before(at, label) for at in (position, position + 1))
            drawn.append(rows[deck.draw(start, stop - start)])
        order = np.random.default_rng((self.seed, len(self.members), position, 1)).permutation(self.global_batch_size)
        return np.concatenate(drawn)[order]


def natural(labels: ArrayLike, batch_size: int, rank: int = 0, world: int = 1, seed: int = 0) -> ShuffledSampler:
    """Return a sampler that deals labeled faces in their own class proportions."""
    return ShuffledSampler(len(np.asarray(labels)), batch_size, rank, world, seed)


class Turns:
    """Several groups of cards dealt in turn; a round takes `weights[i]` cards of group i, spread evenly over it.

    `groups` hold the card numbers; each is shuffled by a deck of its own. `shift` begins that many cards into a round.
    """

    def __init__(
        self, groups: Sequence[NDArray[np.int64]], weights: Sequence[int], key: tuple[int, ...], shift: int = 0
    ) -> None:
        self.groups = groups
        self.decks = [Deck(len(cards), (*key, number)) for number, cards in enumerate(groups)]
        due = np.concatenate([(np.arange(weight) + 0.5) / weight for weight in weights])
        owners = np.repeat(np.arange(len(weights)), weights)[np.argsort(due, kind="stable")]
        self.round = np.roll(owners, -shift)
        # [round + 1, groups]: how many cards of each group lie before each place of a round
        self.before = np.zeros((len(owners) + 1, len(weights)), np.int64)
        self.before[1:] = np.cumsum(np.eye(len(weights), dtype=np.int64)[self.round], 0)

    def draw(self, start: int, count: int) -> NDArray[np.int64]:
        """Return cards `start` to `start + count` of the endless sequence."""
        places = np.arange(start, start + count)
        owners, drawn = self.round[places % len(self.round)], np.empty(count, np.int64)
        rounds, within = divmod(start, len(self.round))
        first = rounds * self.before[-1] + self.before[within]
        for owner, (cards, deck) in enumerate(zip(self.groups, self.decks, strict=True)):
            mine = owners == owner
            drawn[mine] = cards[deck.draw(int(first[owner]), int(mine.sum()))]
        return drawn


class SourceBalancedSampler(BalancedSampler):
    """Labeled batches balanced over classes as by `BalancedSampler`, and within a class over the sets that have it.

    `sources` [N] name the set of each face. `weights` are whole numbers, 1 for sets not named: a class deals so many
    faces of each set in turn, exactly. Classes begin at different sets. Raises ConfigError for faces of no mixture
    and for weights that are no such numbers or name no set.
    """

    def __init__(
        self,
        labels: ArrayLike,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        sources: NDArray[np.str_] | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        if sources is None:
            raise ConfigError(
                "sampler=balanced_sources needs the set of each face, which only data=mixed without data.pseudo_labels "
                "knows; set that, or sampler=balanced"
            )
        self.sources = sources
        self.weights = weights or {}
        for name, weight in self.weights.items():
            if name not in sources or not isinstance(weight, int) or weight < 1:
                raise ConfigError(
                    f"sampler.weights={{{name}:{weight}}} is no whole number of faces of one of the sets "
                    f"{', '.join(np.unique(sources))}; set it to 1 or more"
                )
        super().__init__(labels, batch_size, rank, world, seed)

    def _deck(self, label: int, rows: NDArray[np.int64]) -> Turns:
        names, owners = np.unique(self.sources[rows], return_inverse=True)
        groups = [np.flatnonzero(owners == owner) for owner in range(len(names))]
        return Turns(groups, [self.weights.get(str(name), 1) for name in names], (self.seed, label), shift=label)
