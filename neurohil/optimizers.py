"""Adam and a step-wise learning-rate decay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohil import arrays
from neurohil.errors import UserError

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
            if not parameter.shape == gradient.shape == shape:
                raise UserError(
                    f"Adam.step: parameters[{i}] {parameter.shape} and gradients[{i}] {gradient.shape} must have the "
                    f"shape {shape} that this optimiser was made for"
                )
            if parameter.dtype.kind != "f":
                raise UserError(f"Adam.step: parameters[{i}] is of type {parameter.dtype}; give floats")
        if not all(0.0 <= rate <= _LARGEST_RATE for rate in learning_rates):
            arrays.floats("Adam.step: learning_rates", learning_rates, None, 0.0, _LARGEST_RATE)
        gradient = np.concatenate([g.ravel() for g in gradients])
        if gradient.dtype.kind != "f" or not np.abs(gradient).max(initial=0.0) <= _LARGEST_GRADIENT:
            for i, g in enumerate(gradients):
                remedy = "the training has diverged: lower the learning rate"
                arrays.floats(
                    f"Adam.step: gradients[{i}]", g, None, -_LARGEST_GRADIENT, _LARGEST_GRADIENT, remedy=remedy
                )
        self._steps += 1
        mean, square = self._moments
        mean *= _BETA_1
        mean += (1.0 - _BETA_1) * gradient
        square *= _BETA_2
        square += (1.0 - _BETA_2) * (gradient * gradient)
        direction = mean / (1.0 - _BETA_1**self._steps)
        direction /= np.sqrt(square / (1.0 - _BETA_2**self._steps)) + _EPSILON
        start = 0
        for parameter, learning_rate, end in zip(parameters, learning_rates, self._ends, strict=True):
            parameter -= learning_rate * direction[start:end].reshape(parameter.shape)
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
        if vector.shape != (1 + self._moments.size,):
            raise UserError(
                f"Adam.load_state: the state has shape {vector.shape}; expected {(1 + self._moments.size,)} for "
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
