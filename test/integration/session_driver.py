"""Runs one graph as the ``so101`` command does, for tests: python session_driver.py GRAPH JSON.

The options are JSON, so that a test can set every one of them, also those that no verb offers.
Errors become one line and exit code 2, as on the command line.
"""

import json
import sys

from so101.errors import So101Error
from so101_bringup.run_job import options_of, run_job


def main(argv: list[str]) -> int:
    sys.stdout.reconfigure(line_buffering=True)
    graph, options = argv[1], json.loads(argv[2])
    try:
        return run_job(graph, options_of(options), {}, say=print)
    except So101Error as error:
        print(f"so101: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
