"""Measures one thing and appends its rows to experiments/results/bench_NAME.jsonl.

  python experiments/bench.py NAME [options]
  python experiments/bench.py dm --help

Each file in experiments/benches/ has the settings of one: `add_options(parser)`,
`rows(options)` and, where rows are worth a table on the screen, `table(rows)`. What
they share is in benchmark.py, the authors' programs in reference/.
"""

import argparse
import importlib
import sys
from pathlib import Path

from benchmark import append

HERE = Path(__file__).resolve().parent
NAMES = [p.stem for p in sorted((HERE / "benches").glob("[!_]*.py"))]


def main() -> None:
    """Runs the benchmark that the first argument names."""
    chooser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    chooser.add_argument("name", choices=NAMES)
    name = chooser.parse_args(sys.argv[1:2]).name
    bench = importlib.import_module(f"benches.{name}")
    parser = argparse.ArgumentParser(
        prog=f"bench.py {name}",
        description=bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_options(parser)
    rows = []
    for row in bench.rows(parser.parse_args(sys.argv[2:])):
        append(f"bench_{name}", row)
        rows.append(row)
    if rows and hasattr(bench, "table"):
        print(bench.table(rows))


if __name__ == "__main__":
    main()
