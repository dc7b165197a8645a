import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurohil.datasets import mackey_glass
from neurohil.errors import UserError

# x[0], x[1], x[75] of each series, computed with another method: Runge-Kutta of fixed step that divides the delay,
# cubic interpolation of the delayed half steps, held against NeuroBench's own generator jitcdde (tolerances 1e-17).
COMPUTED = {
    17: (1.26677773, 1.30340078, 1.20434207),
    18: (1.32775684, 1.34372880, 0.71113338),
    19: (1.34039147, 1.31577392, 0.98527542),
    20: (1.22760999, 1.21958471, 0.40083581),
    21: (1.16515410, 1.14701501, 0.35254434),
    22: (1.02847570, 1.04907429, 0.83536998),
    23: (1.35086288, 1.34812450, 0.38090879),
    24: (0.62235300, 0.63094351, 0.86813543),
    25: (1.38730208, 1.38764275, 1.02842207),
    26: (0.98782323, 0.98825207, 1.06585250),
    27: (1.23877684, 1.25451313, 0.95343569),
    28: (0.65549979, 0.67126328, 1.25203552),
    29: (1.24777581, 1.23542271, 0.52804605),
    30: (0.52921627, 0.53974696, 1.06186659),
}

# Of the regenerated series, on every machine.
SHA256 = {
    17: "bddfa8e2e5b74aab084604e0baa842d2189ef65fec903ac4bdad854541d1604a",
    22: "97143b0ceadfd1cc44c1aea45808a555fcd2fc364eb994f8d84485595e3a45e0",
    24: "92f4fcab2af109a1c33e4983e62cac8c65ceecf593711735fab516cb3a807947",
    30: "9b27177ed8606f29ac199996be6fad0b47e75cc888d5eb6723d5f5187f976164",
}


@pytest.mark.parametrize("tau", COMPUTED)
def test_series_agree_with_another_integrator(tau):
    values = mackey_glass.generate(tau, 151)
    np.testing.assert_allclose(values[[0, 1, 75]], COMPUTED[tau], rtol=0, atol=6e-9)


def test_first_values_of_the_official_file():
    """As quoted for mg_17.npy in a public reader of .npy files, to all digits."""
    quoted = [1.2667777302367338, 1.3034007827142546, 1.2823045380633082]
    np.testing.assert_allclose(mackey_glass.generate(17, 151)[:3], quoted, rtol=0, atol=1e-12)


def test_solution_agrees_with_scipy_by_the_method_of_steps():
    tau, history, delays = 17.0, 0.7206597, 8

    def past(t):
        return history if t <= 0 else float(pieces[min(int(t // tau), len(pieces) - 1)](t)[0])

    pieces: list = []
    start = [history]
    for k in range(delays):

        def slope(t, x):
            delayed = past(t - tau)
            return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

        piece = solve_ivp(slope, (k * tau, (k + 1) * tau), start, "DOP853", dense_output=True, rtol=1e-11, atol=1e-12)
        pieces.append(piece.sol)
        start = piece.y[:, -1]
    times = np.linspace(0.0, delays * tau, 301)
    np.testing.assert_allclose(mackey_glass.solve(tau, history, times), [past(t) for t in times], rtol=0, atol=1e-8)


def test_first_delay_in_closed_form():
    """While the delayed value is the constant history, x relaxes to beta h / (gamma (1 + h^10))."""
    history, times = 0.5, np.linspace(0.0, 20.0, 7)
    rest = 2.0 * history / (1 + history**10)
    expected = rest + (history - rest) * np.exp(-0.1 * times)
    np.testing.assert_allclose(mackey_glass.solve(20.0, history, times), expected, rtol=0, atol=1e-14)


def test_fixed_point_is_kept():
    """x = (beta / gamma - 1)^(1/10) = 1 solves the equation."""
    np.testing.assert_allclose(mackey_glass.solve(17.0, 1.0, np.linspace(0, 100, 11)), 1.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("tau", "lyapunov_times"), [(17, 9), (24, 14), (19, 4)])
def test_another_grid_gives_the_same_series(tau, lyapunov_times):
    """As long as chaos hasn't made 1e-8 of rounding errors."""
    parameters = mackey_glass.PARAMETERS[tau]
    times = tau + np.arange(75 * lyapunov_times) * parameters.lyapunov_time / 75
    fine = mackey_glass.solve(tau, parameters.history, times, pieces=27, nodes=24)
    np.testing.assert_allclose(mackey_glass.generate(tau, len(times)), fine, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("tau", "sha256"), SHA256.items())
def test_series_have_the_same_bits_on_every_machine(tau, sha256):
    """A change of the last bit in one step would show: the series are 50 Lyapunov times long, e^50 = 5e21."""
    assert mackey_glass.load(tau, "nowhere").sha256 == sha256


def test_windows_follow_the_protocol():
    values = np.arange(3751.0)
    for repeat, start in ((0, 0), (1, 37), (2, 75), (29, 1087)):
        window = mackey_glass.window(values, repeat)
        np.testing.assert_array_equal(window.training_inputs, np.arange(start, start + 750))
        np.testing.assert_array_equal(window.training_targets, np.arange(start + 1, start + 751))
        np.testing.assert_array_equal(window.test_inputs, np.arange(start + 750, start + 1500))
        np.testing.assert_array_equal(window.test_targets, np.arange(start + 751, start + 1501))


def test_without_a_file_the_series_is_regenerated(tmp_path):
    series = mackey_glass.load(24, tmp_path)
    assert (series.origin, series.values.shape, len(series.sha256)) == ("regenerated", (3751,), 64)
    assert not series.values.flags.writeable


@pytest.mark.parametrize("place", ["mg_24.npy", "mackey_glass/mg_24.npy"])
def test_a_file_that_follows_the_equation_is_taken(tmp_path, monkeypatch, place):
    values = mackey_glass.generate(24).copy()
    values[1500:] += 0.1  # late values differ between machines
    (tmp_path / place).parent.mkdir(exist_ok=True)
    np.save(tmp_path / place, values)
    monkeypatch.setenv("NEUROHIL_DATA", str(tmp_path))
    series = mackey_glass.load(24)
    assert series.origin == "official"
    np.testing.assert_array_equal(series.values, values)
    assert series.sha256 != mackey_glass.load(24, tmp_path / "nowhere").sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: mackey_glass.generate(25).copy(), "mg_24.npy is another series: its first 151 points"),
        (lambda x: np.append(x[1:], x[-1]), "is another series"),
        (lambda x: x[:-1], r"holds float64 \(3750,\); expected float64 \(3751,\)"),
        (lambda x: x.astype(np.float32), r"holds float32 \(3751,\)"),
        (lambda x: np.where(np.arange(3751) == 3000, np.nan, x), "holds values that are not finite"),
    ],
)
def test_another_file_is_refused(tmp_path, change, message):
    np.save(tmp_path / "mg_24.npy", change(mackey_glass.generate(24)))
    with pytest.raises(UserError, match=message):
        mackey_glass.load(24, tmp_path)


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "mg_17.npy").write_text("nothing")
    with pytest.raises(UserError, match=r"mg_17.npy can't be read: .*; replace it by the file of huggingface"):
        mackey_glass.load(17, tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mackey_glass.load(16), r"there is no series for tau = 16; choose one of 17..30"),
        (lambda: mackey_glass.generate(17, 0), "n_points = 0 must be at least 1"),
        (lambda: mackey_glass.solve(0.0, 1.0, np.zeros(1)), "tau = 0.0 must be positive and finite"),
        (lambda: mackey_glass.solve(17.0, np.nan, np.zeros(1)), "history = nan must be finite"),
        (lambda: mackey_glass.solve(17.0, 1.0, np.array([-1.0])), "times must be finite and not negative"),
        (lambda: mackey_glass.solve(17.0, 1.0, np.zeros(1), nodes=1), "nodes = 1 at least 2"),
        (lambda: mackey_glass.window_at(np.zeros(1501), 1), r"points 1..1501 are outside 0..1500; start elsewhere"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
