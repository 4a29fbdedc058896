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

"""What augmentation does to images and labels, and what it leaves alone."""

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('torchvision')

from dual_cnn_ros.training.augment import augment, make_mixing  # noqa: E402 - needs torch
from dual_cnn_ros.training.options import Augmentation  # noqa: E402

pytestmark = pytest.mark.slow
CALM = {'flip': False, 'zoom': 1.0, 'light': 0.0, 'saturate': 0.0}


@pytest.fixture
def images():
    """Return 200 times a smooth image, brighter to the right, and half as much to the bottom."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing='ij')
    return (40 + 2 * rows + 4 * columns).to(torch.uint8).expand(200, 3, 24, 32).contiguous()


def changed(images, size=(24, 32), **options):
    torch.manual_seed(0)
    return augment(images, size, Augmentation(**{**CALM, **options}))


def test_without_options_only_the_range_changes(images):
    torch.testing.assert_close(changed(images), images / 255)


def test_flips_about_half(images):
    plain = images / 255
    pixels = changed(images, flip=True)
    flipped = (pixels - plain.flip(-1)).abs().amax((1, 2, 3)) < 1e-5
    same = (pixels - plain).abs().amax((1, 2, 3)) < 1e-5
    assert 60 < int(flipped.sum()) < 140
    assert (flipped ^ same).all()


def test_other_changes_of_place_do_not_flip(images):
    pixels = changed(images, zoom=0.5, shift=0.05, rotate=10)
    assert (pixels[..., -1] > pixels[..., 0]).all()


def test_shifts_alone_do_not_blur(images):
    chequered = torch.zeros_like(images)
    chequered[..., ::2, ::2] = 255
    shifted = changed(chequered, flip=True, shift=0.2)
    assert ((shifted - chequered / 255).abs().amax((1, 2, 3)) > 0.5).float().mean() > 0.5
    assert ((shifted - shifted.round()).abs() < 1e-3).all()


def test_crops_lie_within_the_image(images):
    pixels = changed(images, (12, 16), zoom=0.3) * 255
    assert pixels.min() >= 40
    assert pixels.max() <= 40 + 2 * 23 + 4 * 31
    # A crop of 30 % of the area keeps more than 40 % and less than all of the range across.
    span = (pixels[:, 0, 6, -1] - pixels[:, 0, 6, 0]) / (4 * 30)
    assert 0.4 < span.min() < 0.6
    assert 0.9 < span.max() < 1.001


def test_rotations_keep_right_angles(images):
    pixels = changed(images, rotate=30)[:, 0] * 255
    down = (pixels[:, 14, 16] - pixels[:, 10, 16]) / 4
    across = (pixels[:, 12, 18] - pixels[:, 12, 14]) / 4
    # The slope of the image keeps its length, sqrt(2^2 + 4^2), whatever the angle.
    length = (down**2 + across**2).sqrt()
    torch.testing.assert_close(length, torch.full((200,), 20**0.5), atol=0.05, rtol=0)
    assert down.min() < 0.5
    assert down.max() > 3.5


@pytest.mark.parametrize('options', [{'light': 0.5}, {'noise': 0.3}])
def test_light_and_noise_differ_from_image_to_image_and_stay_in_range(images, options):
    pixels = changed(images, **options)
    assert 0 <= pixels.min() < pixels.max() <= 1
    assert not torch.equal(pixels[0], pixels[1])


def test_saturation_moves_colours_from_and_to_grey(images):
    torch.testing.assert_close(changed(images, saturate=0.5), images / 255)  # grey stays grey
    images[:, 1:] //= 2
    pixels = changed(images, saturate=0.5)[:, :, 12, 16]
    spread = (pixels.amax(1) - pixels.amin(1)) * 255 / (images.amax(1) - images.amin(1))[:, 12, 16]
    assert 0.5 <= spread.min() < 0.6
    assert 1.4 < spread.max() <= 1.5


def test_erases_a_rectangle_of_about_as_many_images_as_said(images):
    erased = (changed(images, erase=0.5) - images / 255).abs().amax(1) > 1e-6
    share = erased.float().mean((1, 2))
    assert 60 < int((share > 0).sum()) < 140
    assert share.max() < 0.35


@pytest.mark.parametrize('methods', [('mixup',), ('cutmix',), ('mixup', 'cutmix')])
def test_labels_are_mixed_as_the_images_are(methods):
    # Each image is filled with its own number, so that its pixels say what it was mixed with.
    numbers = torch.arange(8)
    images = numbers.float().view(-1, 1, 1, 1).expand(-1, 3, 10, 12)
    mix = make_mixing(Augmentation(**dict.fromkeys(methods, 1.0)), classes=8)
    torch.manual_seed(0)
    used = set()
    for _ in range(20):
        pixels, targets = mix(images, numbers)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        torch.testing.assert_close(pixels.mean((1, 2, 3)), targets @ numbers.float())
        used.add('cutmix' if (pixels == pixels.round()).all() else 'mixup')
    assert used == set(methods)


def test_without_mixing_nothing_changes():
    pixels, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    mixed = make_mixing(Augmentation(), classes=4)(pixels, labels)
    assert mixed[0] is pixels and mixed[1] is labels
