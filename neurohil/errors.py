"""What the command line turns into one line of text."""

from signal import SIGINT


class UserError(ValueError):
    """Something that the user can mend: a config, a file, a value. The message says what and how."""


class Stopped(KeyboardInterrupt):
    """A run that a signal has stopped in good order. The message says how to go on.

    Attributes
    ----------
    signal : int
        Number of the signal.
    """

    def __init__(self, message: str, signal: int = SIGINT) -> None:
        super().__init__(message)
        self.signal = signal
