"""What a flex template's launcher starts: it takes a file, not a module."""

import sys

from pipelines.launch import launch

launch(sys.argv[1:])
