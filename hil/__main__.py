"""`python -m hil` is the command `neurohil`."""

import sys

from hil.cli import main

sys.exit(main())
