import numpy as np
import pytest

from hil.errors import UserError
from hil.optimizers import Adam, step_decay

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
