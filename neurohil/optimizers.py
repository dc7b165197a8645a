"""Adam and a step-wise learning-rate decay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.errors import UserError
from neurohil.jit import njit

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_LARGEST_GRADIENT = 1e150  # its square is still far from the largest float64
_LARGEST_RATE = 1e100


class Adam:
    """Adam (Kingma and Ba 2015; decay rates 0.9 and 0.999, epsilon 1e-8) over several arrays at once.

    Parameters
    ----------
    parameters : sequence of ndarray, float64
        The arrays that `step` will be given, at least one; only their shapes are kept.

    Raises
    ------
    UserError
        If there is none.
    """

    def __init__(self, parameters: Sequence[np.ndarray]) -> None:
        if not len(parameters):
            raise UserError("Adam: there are no parameters; give at least one array")
        self._shapes = [p.shape for p in parameters]
        self._ends = np.cumsum([p.size for p in parameters]).tolist()
        self._steps = 0
        self._moments = np.zeros((2, self._ends[-1]))  # running means of the gradient and of its square

    def step(
        self, parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray], learning_rates: Sequence[float]
    ) -> None:
        """Change the parameters in place by one step down the gradients.

        Parameters
        ----------
        parameters, gradients : sequence of ndarray, float64
            Shapes as at construction; gradients within +-1e150.
        learning_rates : sequence of float
            One per array, 0 ... 1e100.

        Raises
        ------
        UserError
            If the number of arrays or a shape has changed, a parameter isn't of floats, or a gradient or a rate is NaN
            or out of range. Nothing is changed then.
        """
        if not len(parameters) == len(gradients) == len(learning_rates) == len(self._shapes):
            raise UserError(
                f"Adam.step: {len(parameters)} parameters, {len(gradients)} gradients and {len(learning_rates)} "
                f"learning rates; this optimiser was made for {len(self._shapes)} of each"
            )
        for i, (parameter, gradient, shape) in enumerate(zip(parameters, gradients, self._shapes, strict=True)):
            if not (isinstance(parameter, np.ndarray) and parameter.dtype.kind == "f"):
                kind = parameter.dtype if isinstance(parameter, np.ndarray) else type(parameter).__name__
                raise UserError(f"Adam.step: parameters[{i}] is of type {kind}; give floats")
            if not parameter.shape == np.shape(gradient) == shape:
                raise UserError(
                    f"Adam.step: parameters[{i}] {parameter.shape} and gradients[{i}] {np.shape(gradient)} must have "
                    f"the shape {shape} that this optimiser was made for"
                )
        if not all(type(rate) is float and 0.0 <= rate <= _LARGEST_RATE for rate in learning_rates):
            arrays.floats("Adam.step: learning_rates", learning_rates, None, 0.0, _LARGEST_RATE)
        flat = [_flat(g) for g in gradients if type(g) is np.ndarray and g.dtype.kind == "f"]
        if not (len(flat) == len(gradients) and all(_within(gradient, _LARGEST_GRADIENT) for gradient in flat)):
            remedy = "the training has diverged: lower the learning rate"
            names = [f"Adam.step: gradients[{i}]" for i in range(len(gradients))]
            flat = [
                _flat(arrays.floats(name, g, None, -_LARGEST_GRADIENT, _LARGEST_GRADIENT, remedy=remedy))
                for name, g in zip(names, gradients, strict=True)
            ]
        self._steps += 1
        mean_bias, square_bias = 1.0 - _BETA_1**self._steps, 1.0 - _BETA_2**self._steps
        start = 0
        for parameter, gradient, rate, end in zip(parameters, flat, learning_rates, self._ends, strict=True):
            values = _flat(parameter)
            mean, square = self._moments[:, start:end]
            _step(values, gradient, mean, square, float(rate), mean_bias, square_bias)
            if not np.may_share_memory(values, parameter):
                parameter[...] = values.reshape(parameter.shape)
            start = end

    def state(self) -> NDArray[np.float64]:
        """Return all state as one vector, (1 + 2 n,) float64: number of steps, mean gradients, mean squares."""
        return np.concatenate([[float(self._steps)], self._moments.ravel()])

    def load_state(self, vector: np.ndarray) -> None:
        """Go on from a vector that `state` returned, to the same bits.

        Raises
        ------
        UserError
            If the vector belongs to an optimiser for other shapes, or is no state.
        """
        if np.shape(vector) != (1 + self._moments.size,):
            raise UserError(
                f"Adam.load_state: the state has shape {np.shape(vector)}; expected {(1 + self._moments.size,)} for "
                f"{self._moments.shape[1]} parameters"
            )
        vector = arrays.floats("Adam.load_state: the state", vector)
        squares = vector[1 + self._moments.shape[1] :]
        if vector[0] < 0 or vector[0] != int(vector[0]) or squares.min(initial=0.0) < 0:
            raise UserError(
                f"Adam.load_state: a state has a whole number of steps >= 0, got {vector[0]:g}, and mean squares >= 0, "
                f"got {squares.min(initial=0.0):g}; give what `state` returned"
            )
        self._steps = int(vector[0])
        self._moments[:] = vector[1:].reshape(self._moments.shape)


def _flat(array: np.ndarray) -> NDArray[np.float64]:
    """The values as one float64 vector that kernels may change: of the array itself, where that can be."""
    vector: NDArray[np.float64] = np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
    return vector if vector.flags.writeable else vector.copy()


@njit(cache=True, error_model="numpy")
def _within(values, limit):
    """Whether all values (n,) float64 are within +-limit; NaN isn't."""
    bad = 0
    for value in values:
        bad += 0 if abs(value) <= limit else 1
    return bad == 0


@njit(cache=True, error_model="numpy")
def _step(parameter, gradient, mean, square, rate, mean_bias, square_bias):
    """One step of Adam: changes parameter, mean and square, the means of the gradient and of its square, all (n,)
    float64; a bias is what a mean over the steps so far has of the mean over endlessly many."""
    for i in range(parameter.size):
        m = _BETA_1 * mean[i] + (1.0 - _BETA_1) * gradient[i]
        v = _BETA_2 * square[i] + (1.0 - _BETA_2) * (gradient[i] * gradient[i])
        mean[i] = m
        square[i] = v
        parameter[i] -= rate * (m / mean_bias / (math.sqrt(v / square_bias) + _EPSILON))


def step_decay(epoch: int, factor: float, every: int) -> float:
    """Learning-rate factor in `epoch` (from 0): multiplied by `factor`, 0 ... 1, after every `every` epochs, >= 1.

    Raises
    ------
    UserError
        A value is out of range.
    """
    if epoch < 0 or every < 1 or not 0.0 <= factor <= 1.0:
        raise UserError(
            f"step_decay: epoch = {epoch}, factor = {factor}, every = {every}; expected an epoch >= 0, a factor within "
            "0..1, and every >= 1"
        )
    return factor ** (epoch // every)
