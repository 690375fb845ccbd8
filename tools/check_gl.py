"""Say whether cameras can be rendered here, and what to install where they cannot."""

import sys

from so101.simulation.gl import HINT, find_backend


def main() -> int:
    """Print one line; return 1 where no OpenGL back-end works."""
    backend = find_backend()
    print(f"so101: cameras render with {backend}" if backend else f"so101: {HINT}")
    return 0 if backend else 1


if __name__ == "__main__":
    sys.exit(main())
