"""Settings that are younger than runs that are still around, with what these did that do not name them."""

from typing import Any

SINCE: dict[str, Any] = {"refit._target_": "fer_ssl.refit.AsTrained", "head.norm": False}
