"""The number of independent pixels: white noise, noise of known correlation, gaps, stacks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.autocorrelation import correlation_area, correlation_length, effective_number


def noise(seed, shape=(400, 500)):
    return np.random.default_rng(seed).normal(size=shape)


def blurred(x, sigma):
    """Convolved with a Gaussian around a torus: the correlation is exp(-h^2 / (4 sigma^2))."""
    for axis, n in enumerate(x.shape):
        frequency = np.fft.fftfreq(n).reshape(-1, *[1] * (x.ndim - 1 - axis))
        kernel = np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        x = np.fft.ifft(np.fft.fft(x, axis=axis) * kernel, axis=axis).real
    return x


@pytest.mark.parametrize("seed", range(5))
def test_white_noise_is_all_independent(seed):
    assert correlation_area(noise(seed)) == pytest.approx(1, abs=2e-3)
    assert correlation_area(noise(seed, (40, 50, 60))) == pytest.approx(1, abs=1e-2)
    assert correlation_area(noise(seed, (1, 5000))) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_blurred_noise_has_the_area_of_its_kernel(sigma):
    # the sum of exp(-h^2 / (2 sigma^2)) over the plane
    areas = [correlation_area(blurred(noise(seed), sigma)) for seed in range(3)]
    assert np.mean(areas) == pytest.approx(2 * np.pi * sigma**2, rel=0.05)


def test_volumes():
    x = blurred(noise(0, (60, 70, 80)), 1.5)
    assert correlation_area(x) == pytest.approx((np.sqrt(2 * np.pi) * 1.5) ** 3, rel=0.1)


def test_an_autoregression_along_one_axis():
    # correlation 0.7^h: the sum of squares is (1 + 0.49) / (1 - 0.49)
    e, x = noise(1, (300, 1000)), np.zeros((300, 1000))
    for i in range(1, 1000):
        x[:, i] = 0.7 * x[:, i - 1] + np.sqrt(1 - 0.49) * e[:, i]
    assert correlation_area(x) == pytest.approx(1.49 / 0.51, rel=0.03)


def test_the_length_is_the_sum_over_lags():
    lines = blurred(noise(2, (30, 80)), 1.0)[:20]
    lines[3, 10:20] = np.nan
    centred = lines - np.nanmean(lines)
    expected = 1.0
    for h in range(1, 80):
        rho = np.nanmean(centred[:, :-h] * centred[:, h:]) / np.nanmean(centred**2)
        if rho <= 0:
            break
        expected += 2 * (1 - h / 80) * rho**2
    assert correlation_length(lines) == pytest.approx(expected, rel=1e-10)


def test_pixels_not_used():
    x = blurred(noise(3), 2.0)
    x[np.random.default_rng(0).random(x.shape) < 0.5] = np.nan
    assert correlation_area(x) == pytest.approx(8 * np.pi, rel=0.1)
    x[:, :200] = np.nan
    assert correlation_area(x) == pytest.approx(8 * np.pi, rel=0.2)


def effective(*planes):
    """The effective number of an image of these bands."""
    shape = planes[0].shape
    numbers = np.arange(planes[0].size).reshape(shape)
    return effective_number(numbers, np.stack([plane.ravel() for plane in planes], 1), numbers.size)


def test_bands_are_averaged_and_constant_ones_left_out():
    white, smooth = noise(0), blurred(noise(1), 2.0)
    n = white.size
    assert effective(white) == pytest.approx(n / correlation_area(white), rel=1e-12)
    assert effective(white, np.full_like(white, 3)) == effective(white)
    areas = correlation_area(white), correlation_area(smooth)
    assert effective(white, smooth) == pytest.approx(n / np.mean(areas), rel=1e-12)
    assert effective(np.full((3, 4), 7.0)) == 12


def test_a_table_of_distinct_values_is_the_image():
    classes = np.random.default_rng(0).integers(0, 3, (9, 12)).repeat(10, 0).repeat(10, 1)
    table = np.array([[9, 0], [50, 1], [255, 7]], np.uint8)
    expected = effective(*(table[classes, b].astype(float) for b in (0, 1)))
    assert effective_number(classes, table, classes.size) == pytest.approx(expected, rel=1e-12)


def test_pixels_not_used_have_no_number():
    x = blurred(noise(3), 2.0)
    numbers = np.arange(x.size).reshape(x.shape)
    numbers[:, :200] = -1
    masked = np.where(numbers < 0, np.nan, x)
    found = effective_number(numbers, x.reshape(-1, 1), 120_000)
    assert found == pytest.approx(120_000 / correlation_area(masked), rel=1e-12)


def test_at_least_one():
    assert 1 <= effective(np.add.outer(np.arange(50.0), np.arange(60.0))) < 20
    assert effective(np.array([[0.0, 1.0]])) >= 1


@given(st.integers(0, 99), st.sampled_from([1e-300, 1e-3, 1e300]), st.sampled_from([0.0, -5.0]))
def test_units_do_not_matter(seed, scale, offset):
    x = blurred(noise(seed, (40, 50)), 1.0)
    changed = (x + offset) * scale
    assert correlation_area(changed) == pytest.approx(correlation_area(x), rel=1e-8)
