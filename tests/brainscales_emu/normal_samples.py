"""Is a sample normal with this mean and spread? Sharp enough to tell a spread that is 5 % wrong."""

import math

import numpy as np
from scipy import stats

ALPHA = 1e-6


def is_normal_with(sample, mean, std):
    """Do mean and variance agree with N(mean, std**2)?"""
    n = sample.size
    z = (sample.mean() - mean) / (std / math.sqrt(n))
    chi2 = np.sum((sample - mean) ** 2) / std**2
    return 2 * stats.norm.sf(abs(z)) > ALPHA and ALPHA / 2 < stats.chi2.cdf(chi2, n) < 1 - ALPHA / 2


def assert_std(sample, mean, std):
    assert is_normal_with(sample, mean, std)
    assert not is_normal_with(sample, mean, 1.05 * std)
    assert not is_normal_with(sample, mean, 0.95 * std)
