#!/usr/bin/env bash
# Snakemake runs this in the new environment, from the folder in which it was started.
set -euo pipefail
python -m pip install --no-deps .
