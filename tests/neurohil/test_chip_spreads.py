"""The spread of a run's chip beside real chips: in the trace, and as a view of its report."""

import numpy as np
import pytest
from scipy.stats import trimboth

import neurohil as nh
from brainscales_emu import preset
from brainscales_emu.chip import Chip
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.real_chips import ACCEPTANCE_LIMITS, REAL_CHIPS
from neurohil.delgrad.report import spreads
from neurohil.targets.chip_spreads import spread_quantities
from neurohil.targets.spiking.brainscales import BrainscalesConfig, BrainscalesTarget
from neurohil.trace import Trace
from neurohil.trace.nxdata import is_plot, plot_group
from neurohil.trace.validation import validate

NAMES = (
    "leak_lsb", "reset_lsb", "threshold_lsb", "tau_mem_us", "tau_syn_exc_us", "tau_syn_inh_us", "gain_exc", "gain_inh",
)  # fmt: skip


def quantities(name, **changes):
    target = BrainscalesTarget(BrainscalesConfig(preset=name, serial=5, **changes), 2.6, 1, 1)
    return {quantity.name: quantity for quantity in target.fixed_pattern()}


def test_an_uncalibrated_chip_is_held_against_real_ones_as_it_is():
    found = quantities("uncalibrated")
    pattern = Chip("uncalibrated", serial=5).fixed_pattern
    for k, name in enumerate(NAMES):
        values = getattr(pattern, name)
        blocks = (values if name.endswith("_lsb") else np.log(values)).reshape(4, 128)
        within = (blocks - blocks.mean(axis=1, keepdims=True)).std()
        np.testing.assert_allclose(found["spread"].values[:, k], [within, blocks.mean(axis=1).std(ddof=1)])
    assert found["spread"].names == NAMES and "calibrated_ratio" not in found
    for chip in REAL_CHIPS:
        real = found[f"real_spread_{chip.name}"]
        assert real.kind == "measured" and real.values[0, 3] == chip.codes["tau_mem"].log_std
        assert real.values[1, 7] == chip.codes["gain_inh"].log_block_std


def test_a_calibrated_chip_is_held_against_what_the_vendor_accepts():
    found = quantities("calibrated")
    np.testing.assert_array_equal(found["spread"].values, quantities("uncalibrated")["spread"].values)
    ratio, limit = (found[f"{name}_ratio"].values for name in ("calibrated", "accepted"))
    assert limit[:6].tolist() == list(ACCEPTANCE_LIMITS.values()) and np.isnan(limit[6:]).all()
    fine, raw = (draw_fixed_pattern(preset(name), 5) for name in ("calibrated", "uncalibrated"))
    for k, name in enumerate(NAMES[:6]):
        trimmed = [trimboth(getattr(pattern, name), 0.05).std() for pattern in (fine, raw)]
        assert ratio[k] == pytest.approx(trimmed[0] / trimmed[1], rel=0.02) and ratio[k] < limit[k]


def test_a_chip_without_spread_has_none_to_show():
    assert not {"spread", "real_spread_w66", "calibrated_ratio"} & set(quantities("ideal"))
    noise = {"leak_std_lsb": 2.0}
    assert quantities("ideal", noise=noise)["calibrated_ratio"].values[1] == 0.0


def test_what_a_calibration_leaves_is_counted():
    raw = draw_fixed_pattern(preset("uncalibrated"), 5)
    found = {quantity.name: quantity.values for quantity in spread_quantities(raw, raw)}
    np.testing.assert_allclose(found["calibrated_ratio"], 1.0)


@pytest.fixture(scope="module", params=["calibrated", "uncalibrated"])
def trace(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "run.h5"
    small = {"network": {"hidden": 5}, "training": {"batch": 1000}, "target": {"preset": request.param}}
    nh.train("chip_yin_yang_axonal", epochs=1, trace=path, progress=False, **small)
    return request.param, path


@pytest.mark.compiled
def test_the_report_has_them_as_a_view(trace, tmp_path):
    name, path = trace
    assert validate(path) == []
    with Trace(path) as opened:
        plots = {group: plot_group(opened, group) for group in opened.groups if is_plot(opened, group)}
        others = {group for group in plots if not any(word in group for word in ("spread", "_ratio"))}
        (view,) = spreads(plots)
        assert set(plots) == others  # they are shown once
        own = opened["run/chip/spread/spread"]
    header, first = view.table.header, view.table.rows[0]
    assert header[-2:] == (("calibrated", "accepted") if name == "calibrated" else ("means of blocks", "real chips"))
    assert first[:3] == ("leak", f"{own[0, 0]:.2f} LSB", "5.22 to 6.01 LSB")
    assert [row[0] for row in view.table.rows][3:] == [
        "tau mem", "tau syn exc", "tau syn inh", "gain exc", "gain inh",
    ]  # fmt: skip
    assert view.table.rows[3][2] == "12.2 to 13.8 %"
    if name == "calibrated":
        assert view.table.rows[0][-1] == "\N{MULTIPLICATION SIGN} 0.30"
        assert view.table.rows[-1][-1] == "no limit"
    assert "assumed slope" in view.caption and "w66 and chip55" in view.caption
    dots = [r.data_source.data for r in view.figures[""].renderers if "own" in r.data_source.data]
    real = np.array([chip.codes["tau_mem"].log_std for chip in REAL_CHIPS]).mean()
    assert dots[0]["x"][3] == pytest.approx(own[0, 3] / real)
    if name == "calibrated":  # the page is made of views, whatever they say
        page = nh.open(path).report(tmp_path / "page.html").read_text(encoding="utf-8")
        assert "The chip&#39;s spread beside real chips" in page and "5.22 to 6.01 LSB" in page


def test_a_run_without_a_chip_has_no_such_view():
    assert list(spreads({})) == []
