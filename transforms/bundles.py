"""What a DoFn yields when its bundle ends."""

from __future__ import annotations

from typing import Any

from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue


def at_end(value: Any) -> WindowedValue:  # noqa: ANN401 - any element
    """An element for `finish_bundle`, where Beam wants its window and timestamp with it."""
    return WindowedValue(value, GlobalWindow().max_timestamp(), (GlobalWindow(),))
