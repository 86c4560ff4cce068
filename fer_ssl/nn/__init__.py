"""Networks: backbones, heads, and the average of their weights."""
