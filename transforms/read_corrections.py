"""Reading back what people corrected, to be used as true labels."""

from __future__ import annotations

from router.corrections import Correction, collect_corrections, rows_of
from transforms.files import find_files, open_binary
from transforms.splits import InputError, one_line


def read_corrections(url: str) -> dict[str, Correction]:
    """The labels that people gave, by the id of the record.

    Label Studio's JSON export, Argilla's (`dataset.records.to_json`), or rows of `id` with `label` or
    `labels`; as a JSON list or as JSON Lines. Which it is, each row tells. Of several annotations the newest
    counts in Label Studio, in Argilla what most people said. Records that nobody corrected are not in it.

    Args:
        url: A path, a URL that fsspec opens, or a glob of either.

    Raises:
        InputError: nothing is there, or a row cannot be understood, or two rows contradict each other; one
            line with the file, the row, what is there, and what to do.
    """
    files = [file.url for file in find_files(url)]
    rows = (row for file in files for row in rows_of(_content(file), file))
    try:
        return collect_corrections(rows)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


def _content(url: str) -> bytes:
    try:
        with open_binary(url) as stream:
            return stream.read()
    except OSError as error:
        raise InputError(f"{url}: cannot be read: {one_line(error)}; check its permissions") from error
