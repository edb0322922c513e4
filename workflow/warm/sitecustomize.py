"""Python runs this file at its start: Snakemake then starts scripts by `client.py`."""

import os
import sys
from pathlib import Path

if Path(sys.argv[0]).name == "snakemake":
    sys.executable = os.environ["SPARSIGHT_WARM_PYTHON"]
