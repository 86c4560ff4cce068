"""Which pseudo-labels to trust: one module per rule."""

from fer_ssl.method.thresholds.adamatch import AdaMatchThreshold
from fer_ssl.method.thresholds.aligned import Aligned, unaligned
from fer_ssl.method.thresholds.base import Threshold
from fer_ssl.method.thresholds.confidence import ConfidenceWeight
from fer_ssl.method.thresholds.crest import CReSTThreshold
from fer_ssl.method.thresholds.dash import DashThreshold
from fer_ssl.method.thresholds.dynamic import DynamicThreshold, RelativeDynamicThreshold
from fer_ssl.method.thresholds.fixed import FixedThreshold
from fer_ssl.method.thresholds.flexmatch import FlexMatchThreshold
from fer_ssl.method.thresholds.freematch import FreeMatchThreshold
from fer_ssl.method.thresholds.refined import Refined
from fer_ssl.method.thresholds.softmatch import SoftMatchThreshold
from fer_ssl.method.thresholds.unstarved import Unstarved

__all__ = [
    "AdaMatchThreshold",
    "Aligned",
    "CReSTThreshold",
    "ConfidenceWeight",
    "DashThreshold",
    "DynamicThreshold",
    "FixedThreshold",
    "FlexMatchThreshold",
    "FreeMatchThreshold",
    "Refined",
    "RelativeDynamicThreshold",
    "SoftMatchThreshold",
    "Threshold",
    "Unstarved",
    "unaligned",
]
