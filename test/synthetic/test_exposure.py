# Copyright 2026 The dual_cnn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""What a camera makes of the light."""

from __future__ import annotations

import numpy as np
import pytest

from dual_cnn_ros.synthetic.exposure import expose, Exposure


def test_an_exposure_of_nothing_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 8, 3), np.uint8)
    assert np.array_equal(expose(image, Exposure(), rng), image)


@pytest.mark.parametrize('blur', [(9.0, 0.0), (0.0, 9.0), (6.0, -6.0)])
def test_motion_blur_smears_along_the_motion_only_and_keeps_the_light(
    blur: tuple[float, float],
) -> None:
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    result = expose(image, Exposure(blur=blur), np.random.default_rng(0))[..., 0]
    rows, columns = np.nonzero(result)
    assert np.ptp(columns) == pytest.approx(abs(blur[0]), abs=2)
    assert np.ptp(rows) == pytest.approx(abs(blur[1]), abs=2)
    assert result.sum() == pytest.approx(255, rel=0.1)


def test_gain_ramp_and_noise_do_what_they_say() -> None:
    grey = np.full((60, 80, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    assert expose(grey, Exposure(gain=(0.5, 1, 2)), rng)[0, 0].tolist() == [50, 100, 200]
    ramp = expose(grey, Exposure(ramp=(0.4, 0)), rng)
    assert ramp[:, -1].mean() - ramp[:, 0].mean() == pytest.approx(40, abs=2)
    assert expose(grey, Exposure(noise=5), rng).std() == pytest.approx(5, abs=0.3)
