"""Training in the loop: a chip of your own making, some epochs, and what mismatch does to the result."""

import sys

import neurohil as nh

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60

# Any value of an experiment can be changed; `neurohil delgrad --list` names the experiments.
worse = nh.experiment("chip_yin_yang_axonal").with_(epochs=epochs, target=dict(noise=dict(weight_std=0.2)))
run = nh.train(worse, serial=7)
print(f"trained in the loop on serial 7:         {run.result.test_accuracy:.1%} test accuracy")

# The same float parameters on another chip, without training there.
other = worse.with_(target=dict(serial=8)).start()
other.load_state(run.state())
print(f"the same parameters moved to serial 8:   {other.evaluate('test').accuracy:.1%}")
