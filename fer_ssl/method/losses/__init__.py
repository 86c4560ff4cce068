"""The terms that a training loss is the weighted sum of."""

from fer_ssl.method.losses.annealed import AnnealedSupervised
from fer_ssl.method.losses.arcface import ArcFace
from fer_ssl.method.losses.balanced import Balanced, Plain
from fer_ssl.method.losses.base import Term
from fer_ssl.method.losses.fairness import Fairness
from fer_ssl.method.losses.feedback import Feedback
from fer_ssl.method.losses.info_nce import InfoNCE
from fer_ssl.method.losses.long_tailed import LongTailed
from fer_ssl.method.losses.mixed import MixedFaces
from fer_ssl.method.losses.negative import Negative
from fer_ssl.method.losses.neighbours import GraphContrast, InstanceSimilarity, Nearness
from fer_ssl.method.losses.pool_adjusted import PoolAdjusted
from fer_ssl.method.losses.pseudo_label import PseudoLabel
from fer_ssl.method.losses.rotation import Rotation
from fer_ssl.method.losses.supervised import Supervised

__all__ = [
    "AnnealedSupervised",
    "ArcFace",
    "Balanced",
    "Fairness",
    "Feedback",
    "GraphContrast",
    "InfoNCE",
    "InstanceSimilarity",
    "LongTailed",
    "MixedFaces",
    "Nearness",
    "Negative",
    "Plain",
    "PoolAdjusted",
    "PseudoLabel",
    "Rotation",
    "Supervised",
    "Term",
]
