"""How many random examples a dear test draws."""

from hypothesis import settings


def examples(number, in_the_suite):
    """All of them where new ones are looked for (`make test-slow`) and where mutants are; fewer in the suite.

    The suite draws the same ones each time, so that further ones only cost time.
    """
    return in_the_suite if settings.get_current_profile_name() == "repeatable" else number
