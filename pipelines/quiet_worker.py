"""A worker process of Beam's local runner that writes nothing to the terminal it shares with its siblings."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import sys

if __name__ == "__main__":
    # A root logger that has a handler gets no other from Beam, which complains while it is imported. What is
    # logged from then on goes to the process that started this one, as it does without this module.
    logging.getLogger().addHandler(logging.NullHandler())

    from apache_beam.runners.worker import sdk_worker_main

    # The traceback of a failed bundle goes to that process too, and is printed here as well. If the worker
    # itself fails, that still shows.
    with pathlib.Path(os.devnull).open("w", encoding="utf-8") as nothing, contextlib.redirect_stderr(nothing):
        sdk_worker_main.main(sys.argv)
