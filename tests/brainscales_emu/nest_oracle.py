"""Networks and spike times of NEST's precise models, read with 1 ms as 1 us of the chip and 0 mV as 100 LSB."""

import json
from pathlib import Path

from brainscales_emu import ChipConfig

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "nest.json").read_text())
REST_LSB = 100.0


def chip_config(case):
    """The chip whose neurons have the parameters of a case."""
    p = case["params"]
    return ChipConfig(
        tau_mem_us=p["tau_m"],
        tau_syn_exc_us=p["tau_syn_ex"],
        tau_syn_inh_us=p["tau_syn_in"],
        leak_lsb=REST_LSB + p["E_L"] + p["I_e"] * p["tau_m"] / p["C_m"],
        reset_lsb=REST_LSB + p["V_reset"],
        threshold_lsb=REST_LSB + p["V_th"],
        refractory_us=p["t_ref"],
        synaptic_gain=case["weight_pA_per_lsb"] / p["C_m"],
        event_latency_us=0.0,
        exact_input_times=True,
        saturation=None,
    )
