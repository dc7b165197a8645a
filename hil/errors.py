"""The one error class that the command line turns into one line of text."""


class UserError(ValueError):
    """Something that the user can mend: a config, a file, a value. The message says what and how."""
