import numpy as np
import pytest

from neurohil.errors import UserError
from neurohil.optimizers import Adam, step_decay

SHAPES = [(4, 3), (3, 2), (4, 1)]
RATES = [0.02, 0.005, 0.1]


def textbook_adam(parameter, gradients, rate):
    """Algorithm 1 of Kingma and Ba 2015, one scalar at a time."""
    parameter = parameter.copy()
    for index in np.ndindex(parameter.shape):
        m = v = 0.0
        for t, gradient in enumerate(gradients, start=1):
            g = gradient[index]
            m = 0.9 * m + (1 - 0.9) * g
            v = 0.999 * v + (1 - 0.999) * g**2
            parameter[index] -= rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
    return parameter


def problem(seed, steps):
    rng = np.random.default_rng(seed)
    parameters = [rng.normal(size=shape) for shape in SHAPES]
    gradients = [[rng.normal(size=shape) * 10.0 ** rng.integers(-6, 3) for shape in SHAPES] for _ in range(steps)]
    return parameters, gradients


def test_steps_are_those_of_the_textbook():
    parameters, gradients = problem(0, 25)
    expected = [
        textbook_adam(p, [g[i] for g in gradients], rate)
        for i, (p, rate) in enumerate(zip(parameters, RATES, strict=True))
    ]
    adam = Adam(parameters)
    for gradient in gradients:
        adam.step(parameters, gradient, RATES)
    for parameter, reference in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter, reference, rtol=1e-11, atol=1e-13)


def test_first_step_has_the_length_of_the_learning_rate():
    parameter = np.zeros(3)
    Adam([parameter]).step([parameter], [np.array([1e-3, -5.0, 0.0])], [0.1])
    np.testing.assert_allclose(parameter, [-0.1, 0.1, 0.0], rtol=2e-5)


def test_resumed_run_has_the_same_bits():
    parameters, gradients = problem(1, 10)
    adam = Adam(parameters)
    for gradient in gradients[:5]:
        adam.step(parameters, gradient, RATES)
    copies, resumed = [p.copy() for p in parameters], Adam(parameters)
    resumed.load_state(adam.state())
    for gradient in gradients[5:]:
        adam.step(parameters, gradient, RATES)
        resumed.step(copies, gradient, RATES)
    for one, other in zip(parameters, copies, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(adam.state(), resumed.state())
    assert adam.state().dtype == np.float64 and adam.state().shape == (1 + 2 * (12 + 6 + 4),)


def test_state_is_a_copy():
    parameters, gradients = problem(2, 2)
    adam = Adam(parameters)
    adam.step(parameters, gradients[0], RATES)
    before = adam.state()
    kept = before.copy()
    adam.step(parameters, gradients[1], RATES)
    np.testing.assert_array_equal(before, kept)


def test_step_decay():
    assert [step_decay(e, 0.95, 20) for e in (0, 19, 20, 39, 40)] == [1.0, 1.0, 0.95, 0.95, 0.95**2]


def test_bad_input_is_named():
    parameters, gradients = problem(0, 1)
    adam = Adam(parameters)
    with pytest.raises(UserError, match=r"3 parameters, 2 gradients and 3 learning rates; .* made for 3 of each"):
        adam.step(parameters, gradients[0][:2], RATES)
    wrong = [gradients[0][0].T, *gradients[0][1:]]
    with pytest.raises(UserError, match=r"gradients\[0\] \(3, 4\) must have the shape \(4, 3\)"):
        adam.step(parameters, wrong, RATES)
    with pytest.raises(UserError, match=r"state has shape \(5,\); expected \(45,\) for 22 parameters"):
        adam.load_state(np.zeros(5))
    with pytest.raises(UserError, match="there are no parameters"):
        Adam([])
    for values in ((-1, 0.5, 2), (1, -0.5, 2), (1, np.nan, 2), (1, 2.0, 2), (1, 0.5, 0)):
        with pytest.raises(UserError, match="step_decay: epoch = "):
            step_decay(*values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e200])
def test_a_gradient_that_is_no_number_changes_nothing(bad):
    parameters, gradients = problem(3, 2)
    adam = Adam(parameters)
    adam.step(parameters, gradients[0], RATES)
    kept, state = [p.copy() for p in parameters], adam.state()
    gradients[1][1][2, 0] = bad
    with pytest.raises(UserError, match=r"gradients\[1\]\[2, 0\] = .*; the training has diverged: lower the learning"):
        adam.step(parameters, gradients[1], RATES)
    with pytest.raises(UserError, match=r"learning_rates\[1\] = .* is (not|outside)"):
        adam.step(parameters, gradients[0], [0.1, bad, 0.1])
    np.testing.assert_array_equal(adam.state(), state)
    for parameter, before in zip(parameters, kept, strict=True):
        np.testing.assert_array_equal(parameter, before)


def test_extreme_gradients_make_steps_of_the_learning_rate():
    """Adam's steps don't depend on the scale of the gradients, as long as epsilon is small beside them."""
    parameter = np.zeros(4)
    Adam([parameter]).step([parameter], [np.array([1e150, -1e150, 1e-300, 0.0])], [0.1])
    np.testing.assert_allclose(parameter, [-0.1, 0.1, 0.0, 0.0], rtol=1e-12, atol=1e-290)


@pytest.mark.parametrize(("place", "value"), [(0, 1.5), (0, -1.0), (-1, -1e-3), (3, np.nan)])
def test_what_is_no_state_is_refused(place, value):
    adam = Adam([np.zeros(2)])
    state = adam.state()
    state[place] = value
    with pytest.raises(UserError, match=r"Adam\.load_state: "):
        adam.load_state(state)
    assert not adam.state().any()


def test_integer_parameters_are_refused():
    with pytest.raises(UserError, match=r"parameters\[0\] is of type int64; give floats"):
        Adam([np.zeros(2, int)]).step([np.zeros(2, int)], [np.ones(2)], [0.1])
