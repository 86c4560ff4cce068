"""Settings that say where faces lie and how they are read; they may differ between machines and change no result."""

PLACE_KEYS = ("data.root", "data.source.root", "data.resident", "data.workers", "data.batch_eval")
