"""Features do not depend on the unit, on the orientation of the phone, or on where a stretch is cut."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from stedi.steps.features.graph import RECEPTIVE_FIELD, STRIDE, compute_features, feature_list

Floats = NDArray[np.float32]


def motion(samples: int, seed: int) -> Floats:
    """Gravity along z in m/s², and noise about it."""
    return np.random.default_rng(seed).normal(loc=(0, 0, 9.81), size=(samples, 3)).astype(np.float32)


def test_every_frame_has_every_feature() -> None:
    for samples in (1, 2, 3, 50, 501):
        assert compute_features(motion(samples, 1)).shape == ((samples + 1) // STRIDE, len(feature_list()))
    assert len({feature.name for feature in feature_list()}) == len(feature_list())


def test_features_are_zero_at_rest() -> None:
    features = compute_features(np.tile(np.array([0, 0, 9.81], np.float32), (200, 1)))
    names = [feature.name for feature in feature_list()]
    power = np.array([name.startswith("log_power") for name in names])
    # The floor of the power is 1e-5 g².
    assert np.allclose(features[:, power], np.log(1e-5), atol=0.05)
    # The floor of the length across gravity is 1e-6 g.
    assert np.allclose(features[:, ~power], 0, atol=1e-3)


@given(seed=st.integers(0, 2**32 - 1), unit=st.floats(0.01, 1000))
@settings(max_examples=20, deadline=None)
def test_the_unit_does_not_matter(seed: int, unit: float) -> None:
    acceleration = motion(700, seed)
    assert np.allclose(compute_features(acceleration), compute_features(acceleration * np.float32(unit)), atol=2e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_orientation_does_not_matter(seed: int) -> None:
    acceleration = motion(700, seed)
    turned = Rotation.random(rng=np.random.default_rng(seed)).apply(acceleration).astype(np.float32)
    assert np.allclose(compute_features(acceleration), compute_features(turned), atol=2e-3)


@given(seed=st.integers(0, 2**32 - 1), begin=st.integers(0, 1000), length=st.integers(1, 1000))
@settings(max_examples=20, deadline=None)
def test_a_part_with_its_receptive_field_has_the_features_of_the_whole(seed: int, begin: int, length: int) -> None:
    acceleration = motion(2500, seed)
    begin, end = begin // STRIDE * STRIDE, begin // STRIDE * STRIDE + length
    first = max(0, begin - RECEPTIVE_FIELD)
    part = compute_features(acceleration[first : end + RECEPTIVE_FIELD])[(begin - first) // STRIDE :][
        : (length + 1) // STRIDE
    ]
    assert np.allclose(part, compute_features(acceleration)[begin // STRIDE :][: len(part)], atol=1e-4)


def test_features_are_finite_in_free_fall() -> None:
    for acceleration in (np.zeros((300, 3), np.float32), np.full((300, 3), 1e-20, np.float32)):
        assert np.isfinite(compute_features(acceleration)).all()
