"""Extreme and silly values of every key of every kind of run: a run, or one clear error, and never anything else."""

import multiprocessing

import pytest
from config_walk import KINDS, QUICK, TABLES, all_keys, attempt, cases, new_keys, target, vague

SECONDS = 120  # for one tiny run, on a busy machine


def is_free(key):
    """Whether it stands in a table whose keys the target alone knows."""
    return any(key.startswith(f"{table}.") for table in TABLES)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if new_keys(kind)])
def test_every_key_is_checked_and_named(kind):
    tried = cases(kind, [key for key in new_keys(kind) if not is_free(key)], QUICK)
    bad = [(case, told) for case in tried if vague(case, told := attempt(case))]
    assert not bad, bad[:3]


@pytest.mark.parametrize("kind", ["delgrad chip", "metaplasticity chip", "metaplasticity crossbar"])
def test_every_key_of_a_targets_tables_is_checked_and_named(kind):
    tried = cases(kind, filter(is_free, all_keys(kind)), QUICK)
    bad = [(case, told) for case in tried if vague(case, told := attempt(case, target))]
    assert not bad, bad[:3]


def test_the_walk_sees_every_kind_of_run_and_most_keys():
    assert len(KINDS) == 14
    assert sum(len(new_keys(kind)) for kind in KINDS) > 200


def serve(kind, pipe):
    """How each case ends whose index comes through the pipe, run in small."""
    tried = list(cases(kind))
    while True:
        case = tried[pipe.recv()]
        try:
            told = attempt(case, KINDS[kind].run)
        except BaseException as error:
            pipe.send(f"{type(error).__name__}: {error}")
        else:
            pipe.send(vague(case, told) and f"{vague(case, told)}: {told}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_ends_in_a_run_or_one_clear_error_in_time(kind):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=serve, args=(kind, there), daemon=True)
    worker.start()
    bad = []
    for index, case in enumerate(cases(kind)):
        here.send(index)
        if here.poll(SECONDS if index else 10 * SECONDS):  # the first run compiles the kernels
            told = here.recv()
        else:
            told = f"no answer within {SECONDS} s"
            worker.kill()
            here, there = context.Pipe()
            worker = context.Process(target=serve, args=(kind, there), daemon=True)
            worker.start()
        if told:
            bad.append((case.key, case.value[:40], case.door, told[:300]))
    worker.kill()
    assert not bad, bad
