"""``python -m gradlab`` does what ``gradlab`` does."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C ends it without a word, also while it is still being loaded."""
    try:
        from gradlab.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
