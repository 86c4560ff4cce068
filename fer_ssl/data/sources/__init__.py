"""One file per labeled set or layout: each class has `space`, `channels` and `load(decoder) -> Splits`."""
