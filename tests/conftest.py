"""For all tests."""

import os

# Before anything imports torch: with several threads, tests beside other work wait for each
# other's threads many times longer than they compute. Jobs set their own number.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

# Timed assertions fail for the machine's reasons and not for the code's.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
