"""Views of faces, drawn per sample and computed for the whole batch on its device."""

from fer_ssl.views.normalize import Normalize, to_model_input
from fer_ssl.views.preview import preview
from fer_ssl.views.strong import StrongView
from fer_ssl.views.weak import WeakView

__all__ = ["Normalize", "StrongView", "WeakView", "preview", "to_model_input"]
