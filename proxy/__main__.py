"""`paifang` and `python -m proxy`: the arguments → a command → an exit status."""

from __future__ import annotations

import sys

from proxy.commands.run import run


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
