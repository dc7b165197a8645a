"""SONATA files, read back by Blue Brain's libsonata and by plain h5py."""

import re

import h5py
import numpy as np
import pytest
import synthetic_run as run

from neurohil.results import export
from neurohil.trace import Trace, TraceError, TraceWriter

DELAYED = {run.CHIP: (3, 4), run.IDEAL: ()}


@pytest.fixture(scope="module", params=[run.CHIP, run.IDEAL], ids=lambda case: case.name)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sonata")
    run.write(folder / "run.h5", request.param, 2)
    return request.param, folder / "run.h5", export(folder / "run.h5", "sonata", folder / "out")


def events(trace, k, codes, delayed):
    """(time, neuron) of the trace's raster, in its own unit."""
    time, neuron, layer = (trace[f"run/samples/{k}/raster/{name}"] for name in ("time", "neuron", "layer"))
    chosen = np.isin(layer, codes) == delayed
    return sorted(zip(time[chosen].tolist(), neuron[chosen].tolist(), strict=True))


def test_files(exported):
    _, path, files = exported
    assert files == [path.parent / "out" / name for name in ("spikes.h5", *(f"membrane_{k}.h5" for k in range(3)))]
    assert sorted(path.parent.joinpath("out").iterdir()) == sorted(files)


def test_spikes_by_libsonata(exported):
    libsonata = pytest.importorskip("libsonata", reason="libsonata is not installed (extra dev)")
    case, path, (spikes, *_) = exported
    to_ms = 1e-3 if case.time_units == "us" else 1.0
    reader = libsonata.SpikeReader(str(spikes))
    suffixes = {"": False, "_delayed": True} if DELAYED[case] else {"": False}
    assert set(reader.get_population_names()) == {f"sample_{k}{s}" for k in range(3) for s in suffixes}
    with Trace(path) as trace:
        for k in range(3):
            for suffix, delayed in suffixes.items():
                population = reader[f"sample_{k}{suffix}"]
                assert population.sorting == "by_time"
                assert population.time_units == "ms"
                expected = [(n, t * to_ms) for t, n in events(trace, k, DELAYED[case], delayed)]
                assert population.get() == expected
                assert len(expected) > 10


def test_membranes_by_libsonata(exported):
    libsonata = pytest.importorskip("libsonata", reason="libsonata is not installed (extra dev)")
    case, path, (_, *reports) = exported
    assert reports
    to_ms = 1e-3 if case.time_units == "us" else 1.0
    with Trace(path) as trace:
        for k, report in enumerate(reports):
            population = libsonata.ElementReportReader(str(report))[f"sample_{k}"]
            assert population.time_units == "ms"
            assert population.data_units == ("CADC LSB" if case is run.CHIP else "model units")
            time, potential = (trace[f"run/samples/{k}/membrane/{name}"] for name in ("time", "potential"))
            start, stop, step = population.times
            assert (start, step) == pytest.approx((time[0] * to_ms, (time[1] - time[0]) * to_ms))
            assert stop == pytest.approx((time[-1] + time[1] - time[0]) * to_ms)
            frames = population.get()
            ids = np.array(frames.ids)[:, 0]
            assert ids.tolist() == trace[f"run/samples/{k}/membrane/neuron"].tolist()
            assert np.array_equal(np.asarray(frames.data), potential.T)


def test_what_the_specification_wants(exported):
    """Root attributes, types and units, by https://github.com/AllenInstitute/sonata/blob/master/docs."""
    case, _, files = exported
    for file in files:
        with h5py.File(file) as opened:
            assert (opened.attrs["magic"], opened.attrs["version"].tolist()) == (0x0A7A, [0, 1])
    with h5py.File(files[0]) as opened:
        times, nodes = opened["spikes/sample_0/timestamps"], opened["spikes/sample_0/node_ids"]
        assert (times.dtype, nodes.dtype, times.attrs["units"]) == (np.float64, np.uint64, "ms")
        assert np.all(np.diff(times) >= 0)
        # Ideal neurons have no physical time; the file says what its ms are.
        assert ("comment" in times.attrs) == (case is run.IDEAL)


def test_a_run_without_spikes_is_refused_and_leaves_nothing(tmp_path):
    with TraceWriter(tmp_path / "run.h5", run.layout(run.IDEAL), "x", "", 3):
        pass
    path = tmp_path / "run.h5.part"
    text = f"{path} holds no spikes; export the trace of a finished `neurohil delgrad` run"
    with pytest.raises(TraceError, match=f"^{re.escape(text)}$"):
        export(path, "sonata", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_format(tmp_path):
    with pytest.raises(TraceError, match=r"^format 'nwb' is unknown; choose one of sonata, nir, csv$"):
        export(tmp_path / "run.h5", "nwb", tmp_path)


def test_a_place_that_can_not_be_written(tmp_path):
    run.write(tmp_path / "run.h5", run.IDEAL, 1)
    for to in ("sonata", "csv"):
        with pytest.raises(TraceError, match=r"run.h5 can't be written \(File exists\); choose another place$"):
            export(tmp_path / "run.h5", to, tmp_path / "run.h5")
