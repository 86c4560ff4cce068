"""Secrets kept out of what a run writes: configurations, checkpoints, reports, logs."""

import logging
import os
import re
from typing import Any

MASK = "***"
LOGIN = re.compile(r"(?<=:/)(/?)[^/\s@'\"]+@")  # https://user:token@host, with the one slash that a Path leaves too
QUERY = re.compile(r"(?i)([?&][\w-]*(?:token|key|secret|sig|signature|password|credential)=)[^&\s'\"]+")
NAMED = re.compile(r"(?i)(^|_)(api_?key|token|secret|password|passwd|credentials?)$")
VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
SHORTEST = 12  # characters of an environment variable's value that can be a secret


def masked(text: str) -> str:
    """Return `text` without logins in addresses, secret query parameters and the values of secret variables."""
    for name, value in os.environ.items():
        if VARIABLE.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, MASK)
    return QUERY.sub(rf"\g<1>{MASK}", LOGIN.sub(rf"\g<1>{MASK}@", text))


def masked_tree(node: Any) -> Any:
    """Return a tree of plain containers without its secrets: what keys such as `api_key` hold, and `masked` texts."""
    if isinstance(node, dict):
        return {key: MASK if value and NAMED.search(str(key)) else masked_tree(value) for key, value in node.items()}
    if isinstance(node, list):
        return [masked_tree(value) for value in node]
    return masked(node) if isinstance(node, str) else node


class Masked(logging.Filter):
    """Lets every record through, without its secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        return True
