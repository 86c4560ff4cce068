"""The terms that a training loss is the weighted sum of."""

from fer_ssl.method.losses.annealed import AnnealedSupervised
from fer_ssl.method.losses.arcface import ArcFace
from fer_ssl.method.losses.base import Term
from fer_ssl.method.losses.fairness import Fairness
from fer_ssl.method.losses.info_nce import InfoNCE
from fer_ssl.method.losses.mixed import MixedFaces
from fer_ssl.method.losses.neighbours import GraphContrast, InstanceSimilarity
from fer_ssl.method.losses.pseudo_label import PseudoLabel
from fer_ssl.method.losses.rotation import Rotation
from fer_ssl.method.losses.supervised import Supervised

__all__ = [
    "AnnealedSupervised",
    "ArcFace",
    "Fairness",
    "GraphContrast",
    "InfoNCE",
    "InstanceSimilarity",
    "MixedFaces",
    "PseudoLabel",
    "Rotation",
    "Supervised",
    "Term",
]
