"""Cubes on disk: nothing lost, nothing half written, and the recorded ones by name."""

import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import xarray as xr

from lrcourse import cubes
from lrcourse.cubes import RECORDED, load, save
from lrcourse.data import split
from lrcourse.models import mlp
from lrcourse.sweeps import sweep

RNG = np.random.default_rng(0)
TOY = split("toy", RNG.standard_normal((60, 3)), RNG.integers(0, 3, 60))
tiny = partial(mlp, (3, 4, 3))


def test_a_cube_is_kept_without_loss(tmp_path):
    cube = sweep(
        tiny, TOY, lr=[0.1, 1e30], optimizer={"plain": "sgd", "Adam": "adam"}, clip=[None, 0.5],
        nesterov=[False], seed=range(2), steps=5, batch_size=8, eval_every=2,
    )  # fmt: skip
    again = load(save(cube, tmp_path / "deep" / "cube.nc"))
    assert again.identical(cube)
    for name in cube.variables:
        assert again[name].dtype == cube[name].dtype
    assert again.attrs == cube.attrs
    assert load(save(again, tmp_path / "twice.nc")).identical(cube)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


needs_netcdf4 = pytest.mark.skipif(cubes.ENGINE != "netcdf4", reason="needs netCDF4")


@needs_netcdf4
def test_digits_are_kept_as_many_as_asked_for_and_files_get_smaller(tmp_path):
    values = np.exp(RNG.standard_normal(20_000)).astype(np.float32)
    cube = xr.Dataset({"loss": ("x", values), "n": ("x", np.arange(20_000))})
    whole, rounded = save(cube, tmp_path / "a.nc"), save(cube, tmp_path / "b.nc", digits=4)
    kept = load(rounded)
    np.testing.assert_allclose(kept.loss, values, rtol=5e-4)
    assert (kept.loss != values).any()
    assert np.array_equal(kept.n, cube.n)
    assert rounded.stat().st_size < 0.85 * whole.stat().st_size
    with pytest.raises(ValueError, match="digits must be an integer >= 1, was 0"):
        save(cube, tmp_path / "c.nc", digits=0)


def test_a_damaged_or_foreign_file_is_named(tmp_path, monkeypatch):
    cube = xr.Dataset({"a": ("x", np.arange(1000.0))})
    path = save(cube, tmp_path / "cube.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cube.nc is truncated or no NetCDF file"):
        load(path)
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "foreign.nc")
    with pytest.raises(
        ValueError, match="was not written by lrcourse; this lrcourse reads version 1"
    ):
        load(tmp_path / "foreign.nc")
    monkeypatch.setattr(cubes, "CUBE_VERSION", 9)
    save(cube, path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has cube version 9; this lrcourse reads version 1"):
        load(path)
    with pytest.raises(FileNotFoundError, match="path must be a file, was"):
        load(tmp_path / "none.nc")


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = save(xr.Dataset({"a": ("x", [1.0])}), tmp_path / "a.nc")
    with pytest.raises(ValueError, match="unable to infer dtype|Could not serialize"):
        save(xr.Dataset({"a": ("x", [object()])}), path)
    assert load(path).a.values.tolist() == [1.0]
    assert len(list(tmp_path.iterdir())) == 1


def test_recorded_cubes_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in RECORDED.glob("*.nc"):
        assert load(path.stem).identical(load(path))
    with pytest.raises(FileNotFoundError, match=r"recorded cube \(adaptive, .*\), was 'sced"):
        load("scedules")


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.nc")), ids=lambda path: path.stem)
def test_both_readers_see_the_same_numbers(path):
    with xr.open_dataset(path, engine="h5netcdf") as other:
        for name, values in load(path).data_vars.items():
            np.testing.assert_array_equal(other[name].values, values.values, err_msg=name)


def test_reading_cubes_needs_no_torch(tmp_path):
    code = (
        "import sys; from lrcourse import load; load('convergence'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupts_while_a_cube_is_saved_wait_until_it_is_whole(tmp_path):
    """Three real SIGINTs during the write: the file is whole, then the interrupt takes effect."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, numpy as np, xarray as xr\n"
        "from lrcourse.cubes import save\n"
        "real = xr.Dataset.to_netcdf\n"
        "def slow(self, *args, **kwargs):\n"
        "    for _ in range(3):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(self, *args, **kwargs)\n"
        "xr.Dataset.to_netcdf = slow\n"
        "try:\n"
        "    save(xr.Dataset({'a': ('x', np.arange(1000.0))}), 'cube.nc')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "interrupted", done.stderr
    assert load(tmp_path / "cube.nc").a.size == 1000
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_only_the_other_reader_is_installed_digits_are_refused_in_words(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cubes, "ENGINE", "h5netcdf")
    cube = xr.Dataset({"loss": ("x", [1.0])})
    with pytest.raises(ValueError, match="digits needs the package netCDF4"):
        save(cube, tmp_path / "cube.nc", digits=4)
    assert list(tmp_path.iterdir()) == []
