"""`python -m neurohil` is the command `neurohil`."""

import sys

from neurohil.cli import main

sys.exit(main())
