"""`python -m jaxdd`: the command line, or the JAX process of a supervised one."""

import sys

from jaxdd.devices import supervise
from jaxdd.run.cli import main

if __name__ == "__main__":
    sys.exit(supervise.live(main) if supervise.is_child() else main())
