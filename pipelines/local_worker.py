"""A worker process of Beam's local runner: as quiet as it is told, and gone as soon as its parent is.

`python -m pipelines.local_worker [--quiet]`; Beam's local runner starts it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import signal
import sys
import threading
import time

_LOOK_SECONDS = 0.2


def end_with(parent: int) -> None:
    """End this process when its parent has died: an orphan would go on asking, and paying."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)

    from pipelines.stopping import keep_answers  # noqa: PLC0415 - Beam has imported what it needs by then

    keep_answers()
    os._exit(1)


def main(arguments: list[str]) -> None:
    """Work until the runner says that it is over."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    # Ctrl-C reaches every process of the terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "--quiet" not in arguments:
        _work(arguments)
        return
    # A root logger that has a handler gets no other from Beam, which complains while it is imported. What is
    # logged from then on goes to the process that started this one, as it does without this module.
    logging.getLogger().addHandler(logging.NullHandler())
    # The traceback of a failed bundle goes to that process too, and is printed here as well. If the worker
    # itself fails, that still shows.
    with pathlib.Path(os.devnull).open("w", encoding="utf-8") as nothing, contextlib.redirect_stderr(nothing):
        _work(arguments)


def _work(arguments: list[str]) -> None:
    from apache_beam.runners.worker import sdk_worker_main  # noqa: PLC0415 - complains, see above

    sdk_worker_main.main([one for one in arguments if one != "--quiet"])


if __name__ == "__main__":
    main(sys.argv)
