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

"""The part of a frame that is looked at."""

import numpy as np
import pytest

from dual_cnn_ros.cascade.region import crop, is_region, Region, WHOLE


@pytest.mark.parametrize(
    ('region', 'rows', 'columns'),
    [
        (WHOLE, range(8), range(10)),
        ((0.5, 0.0, 0.5, 1.0), range(8), range(5, 10)),
        ((0.0, 0.25, 0.3, 0.5), range(2, 6), range(3)),
        ((0.9, 0.0, 0.1, 1.0), range(8), range(9, 10)),
        ((0.99, 0.99, 0.001, 0.001), range(7, 8), range(9, 10)),
    ],
)
def test_crop(region: Region, rows: range, columns: range) -> None:
    assert is_region(region)
    image = np.arange(80, dtype=np.uint8).reshape(8, 10)
    expected = image[rows.start : rows.stop, columns.start : columns.stop]
    np.testing.assert_array_equal(crop(image, region), expected)
    colour = np.dstack([image] * 3)
    np.testing.assert_array_equal(crop(colour, region)[..., 1], expected)


@pytest.mark.parametrize(
    'region',
    [(), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (0.5, 0.0, 0.6, 1.0), (-0.1, 0.0, 0.5, 0.5)]
    + [tuple(float('nan') if i == j else 0.5 for i in range(4)) for j in range(4)],
)
def test_what_is_no_region(region: Region) -> None:
    assert not is_region(region)
