"""Adam and a step-wise learning-rate decay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hil.errors import UserError

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam (Kingma and Ba 2015; decay rates 0.9 and 0.999, epsilon 1e-8) over several arrays at once.

    Parameters
    ----------
    parameters : sequence of ndarray, float64
        The arrays that `step` will be given; only their shapes are kept.
    """

    def __init__(self, parameters: Sequence[np.ndarray]) -> None:
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
            Shapes as at construction.
        learning_rates : sequence of float
            One per array.

        Raises
        ------
        UserError
            If the number of arrays or a shape has changed.
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
        self._steps += 1
        gradient = np.concatenate([g.ravel() for g in gradients])
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

    def state(self) -> np.ndarray:
        """Return all state as one vector, (1 + 2 n,) float64: number of steps, mean gradients, mean squares."""
        return np.concatenate([[float(self._steps)], self._moments.ravel()])

    def load_state(self, vector: np.ndarray) -> None:
        """Go on from a vector that `state` returned, to the same bits.

        Raises
        ------
        UserError
            If the vector belongs to an optimiser for other shapes.
        """
        if vector.shape != (1 + self._moments.size,):
            raise UserError(
                f"Adam.load_state: the state has shape {vector.shape}; expected {(1 + self._moments.size,)} for "
                f"{self._moments.shape[1]} parameters"
            )
        self._steps = int(vector[0])
        self._moments[:] = vector[1:].reshape(self._moments.shape)


def step_decay(epoch: int, factor: float, every: int) -> float:
    """Learning-rate factor in `epoch` (from 0): multiplied by `factor` after every `every` epochs."""
    return factor ** (epoch // every)
