"""Jobs of a sweep or a search: each a process of its own, and a journal of what became of them."""
