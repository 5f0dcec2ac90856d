"""The most memory that tensors take while something runs, counted at torch's allocator."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.profiler import ProfilerActivity, profile

from bench.timing import Action


def peak_bytes(action: Action) -> int:
    """Bytes of tensors, above those that are there before, at the fullest moment of `action`.

    Counted at each allocation, not sampled, so that runs and machines hardly differ.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        action()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return max(accumulate((int(event["args"]["Bytes"]) for event in changes), initial=0))
