"""No argument of a public function brings a kernel to an index that doesn't exist: a walk over all that reach one.

Every call with arguments that were changed returns, or says in one sentence which argument is wrong; a refused call
leaves the state as it was. The long walk compiles the kernels with bounds checks, in a process of its own. What counts
as public is what `kernel_reach` finds; jitted functions themselves index without checks and are nobody's to call.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import api_cases
import kernel_reach
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Found by name alone, but the argument goes nowhere near a kernel.
NOT_WALKED = {
    "brainscales_emu.session.Session.finish": "takes the phases of its own program",
    "brainscales_emu.errors.PlacementError.__init__": "another __init__",
    **{
        f"brainscales_emu.feedforward.FeedForward.{name}": "Chip.write, rewrite and run check what they give it"
        for name in ("__init__", "fits", "set_weights", "play")
    },
    "memristor.dissection.effective_matrix": "parasitics checks what it gives it",
    "neurohil.targets.matrix.ideal.changed_places": "levels of the usual shape and type alone come to it",
    "neurohil.targets.matrix.ideal.IdealMatrixTarget.write": "walked under the name of its class",
    "brainscales_emu.multichip.Aggregator.forward": "sends over EventLink, which is no kernel",
    "brainscales_emu.readable.chip.WiredChip.deliver": "advances LifNeuron, a readable twin",
    "brainscales_emu.readable.chip.simulate_reference": "a readable twin",
    "brainscales_emu.readable.event_path.EventPathChip.cross": "advances LifNeuron, a readable twin",
    "brainscales_emu.readable.multichip.simulate_setup": "a readable twin",
    "brainscales_emu.system.execute_together": "sends over Link, which is no kernel",
    "neurohil.targets.crossbar_bench.CrossbarBench.current_lost": "checks its numbers by WireConfig and its array",
    "memristor.device.Cells.telegraph": "takes a generator",
    "neurohil.delgrad.training.Trainer.evaluate": "its inputs go to a target, and what that answers to a loss",
    "neurohil.metaplasticity.consolidation.slope": "reads the step of levels, which is a number",
    "neurohil.metaplasticity.model.MatrixModel.__call__": "its inputs go to a target, which checks them",
    "neurohil.metaplasticity.network.Network.forward": "its inputs go to a target, which checks them",
    "neurohil.metaplasticity.network.Network.backward": "takes what forward returned, and errors of a loss",
    "neurohil.metaplasticity.network.Network.squared_gradients": "takes what forward returned, and errors of a loss",
    "neurohil.neurobench.metrics.SynapticOperations.__call__": "takes records of layers, which are checked when made",
    "neurohil.neurobench.operations.of_calls": "takes records of layers, which are checked when made",
    "neurohil.metaplasticity.network.Network.__init__": "reads the step of levels, which is a number",
}

NUMBERS = [np.nan, np.inf, -np.inf, -1.0, -0.0, 0.5, 1e308, -1e308, 5e-324, 2.0**53 + 2, 1e20]
WHOLE = [-1, 0, 1, 255, 1000, 2**31, 2**62, 2**63 - 1, -(2**63)]
SCALARS = [*NUMBERS, *WHOLE, 2**70, -(2**70), 10**400, True, None, "1", 1j, [1.0], np.float32(0.5), np.int8(-1), b"1"]
DTYPES = ["f2", "f4", ">f8", "g", "c16", "i1", "u1", "u8", ">i4", "?", "O", "U3", "M8[s]"]


def _cast(array, dtype):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return array.astype(dtype)
        except (TypeError, ValueError, OverflowError):
            return array.astype(object)


def _with_entry(array, where, value):
    if not array.size:
        return np.array([value])
    changed = array.astype(np.float64) if isinstance(value, float) else array.copy()
    try:
        changed.reshape(-1)[where % array.size] = value
    except OverflowError:
        changed = array.astype(object)
        changed.reshape(-1)[where % array.size] = value
    return changed


def _strided(array):
    return np.repeat(array, 2, axis=0)[::2] if array.ndim else array


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS = {
    "reversed": lambda a: a[::-1],
    "negative strides": lambda a: np.array(a[::-1])[::-1],
    "Fortran's order": np.asfortranarray,
    "strided": _strided,
    "read-only": _read_only,
    "list": lambda a: a.tolist(),
    "masked": lambda a: np.ma.array(a, mask=np.arange(a.size).reshape(a.shape) == 0),
    "shorter": lambda a: a[:-1],
    "longer": lambda a: np.concatenate([a, a]),
    "empty": lambda a: a[:0],
    "no entries": lambda a: np.zeros((0,)),
    "one dimension more": lambda a: a[None],
    "flat": np.ravel,
    "transposed": np.transpose,
    "a number": lambda a: a.ravel()[0] if a.size else 0.0,
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "sorted down": lambda a: np.sort(a, axis=None)[::-1].reshape(a.shape),
    "all alike": lambda a: np.full_like(a, a.ravel()[0]) if a.size else a,
}


@st.composite
def changed(draw, value):
    """What somebody might give instead of a valid value."""
    if not isinstance(value, np.ndarray):
        return draw(st.sampled_from(SCALARS))
    kind = draw(st.sampled_from(["entry", "dtype", "form", "scalar"]))
    if kind == "entry":
        extremes = NUMBERS + WHOLE if value.dtype.kind in "iu" else NUMBERS
        return _with_entry(value, draw(st.integers(0, 2**20)), draw(st.sampled_from(extremes)))
    if kind == "dtype":
        return _cast(value, draw(st.sampled_from(DTYPES)))
    if kind == "form" and value.ndim:
        return FORMS[draw(st.sampled_from(sorted(FORMS)))](value)
    return draw(st.sampled_from(SCALARS))


def check(call, arguments):
    """Call and see that it returns or refuses as it should."""
    before = call.state() if call.state else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if call.warns:
            warnings.simplefilter("ignore", RuntimeWarning)
        try:
            call.function(**arguments)
        except (ValueError, TypeError) as error:
            words = [*arguments, *call.names]
            assert any(word in str(error) for word in words), f"{error!r} names none of {words}"
            after = call.state() if call.state else {}
            for name, array in before.items():
                np.testing.assert_array_equal(after[name], array, err_msg=f"{name} changed, though {error!r}")


def walk(name, examples, derandomize):
    """Call one function so many times with arguments of which one or two are changed."""

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def calls(data):
        call = api_cases.CASES[name]()
        arguments = dict(call.arguments)
        wrong = data.draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2, unique=True))
        for argument in wrong:
            arguments[argument] = data.draw(changed(arguments[argument]), label=argument)
        check(call, arguments)

    calls()


def test_every_public_function_that_reaches_a_kernel_is_walked():
    assert len(kernel_reach.kernels()) > 50
    assert {"brainscales_emu.session.Session.advance", "neurohil.metaplasticity.kernels.update"} <= kernel_reach.gates()
    assert kernel_reach.walked() == (api_cases.CASES.keys() | NOT_WALKED.keys()) & kernel_reach.walked()
    assert NOT_WALKED.keys() <= kernel_reach.walked()


# Several functions can share a case.
ONCE = list({make: name for name, make in api_cases.CASES.items()}.values())


@pytest.mark.parametrize("name", ONCE)
def test_valid_calls_return(name):
    call, refusal = api_cases.CASES[name](), None
    try:
        call.function(**call.arguments)
    except (ValueError, TypeError) as error:
        refusal = error
    assert refusal is None


@pytest.mark.parametrize("name", ONCE)
def test_changed_arguments_are_refused_by_name_or_taken(name):
    walk(name, examples=12, derandomize=True)


@pytest.mark.slow
def test_with_bounds_checks(tmp_path):
    folder = Path(__file__).parent
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(folder.parent), str(folder)]),
    }
    command = [sys.executable, __file__, "150"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    failed = 0
    for function in [name for name in ONCE if name in sys.argv[2:]] or ONCE:
        try:
            walk(function, examples=int(sys.argv[1]), derandomize=False)
        except BaseException as error:  # an index error of a kernel, or a message that names nothing
            failed += 1
            notes = "\n    ".join(getattr(error, "__notes__", []))
            print(f"{function}: {error!r}\n    {notes}", flush=True)
    print(f"{len(api_cases.CASES)} functions in {len(ONCE)} cases, {sys.argv[1]} calls each: {failed} failed")
    sys.exit(bool(failed))
