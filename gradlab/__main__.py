"""``python -m gradlab`` does what ``gradlab`` does."""

import sys

from gradlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
