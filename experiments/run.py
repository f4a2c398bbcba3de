"""Distils a data set and reports what the small set is worth.

python experiments/run.py --method krr_ssl
python experiments/run.py --method dm --preset mnist --seeds 5
python experiments/run.py --method krr_ssl --distill.optimiser.learning-rate 3e-4
python experiments/run.py --list
python experiments/run.py --verify runs/<name>
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs as it is

from jaxdd.run.cli import main

if __name__ == "__main__":
    sys.exit(main())
