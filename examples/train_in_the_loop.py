"""The training loop in the open: a chip of your own making, a few epochs, and what mismatch does to the result."""

import sys

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60

# Any value of an experiment can be changed; `neurohil delgrad --list` names the experiments.
overrides = ["target.serial=7", "target.noise.weight_std=0.2", f"epochs={epochs}"]
run = Run(load("chip_yin_yang_axonal", overrides))
for _ in range(epochs):
    trained, validated = run.train_epoch()
print(f"trained in the loop on serial 7:         {run.evaluate('test').accuracy:.1%} test accuracy")

# The same float parameters on another chip, without training there.
other = Run(load("chip_yin_yang_axonal", [*overrides, "target.serial=8"]))
other.load_state(run.state())
print(f"the same parameters moved to serial 8:   {other.evaluate('test').accuracy:.1%}")
