"""What can be driven, behind one protocol for spikes and one for matrices: a file each in `spiking` and in `matrix`.

The file holds the target, and one config struct with a tag, which builds it; nothing else has to be told of it.
"""

from functools import partial
from typing import Annotated

from neurohil.choices import Choice, structs_in
from neurohil.protocols import MatrixTargetConfig, SpikingTargetConfig

AnySpikingTarget = Annotated[
    SpikingTargetConfig, Choice(SpikingTargetConfig, partial(structs_in, "neurohil.targets.spiking"))
]
AnyMatrixTarget = Annotated[
    MatrixTargetConfig, Choice(MatrixTargetConfig, partial(structs_in, "neurohil.targets.matrix"))
]
