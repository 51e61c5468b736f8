"""aliked: the parts that were written anew compute what the originals do; keypoints are where they are asked for."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as fn  # noqa: E402

from ros2_raxels.model.aliked import Aliked, AlikedSize, _between, _Deformed, _DescriptorHead  # noqa: E402

SIZE = AlikedSize((4, 6, 8, 8), samples=4, keypoints=20)
EXACT = 1e-5


def network() -> Aliked:
    torch.manual_seed(0)
    return Aliked(SIZE).eval()


def picture() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(256, (64, 96), dtype=torch.uint8)


def sampled(image: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) of an image (1, C, H, W), by torch's own function."""
    height, width = image.shape[2:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)[None]
    return fn.grid_sample(image, grid, align_corners=True)


def test_pixels_between_pixels_are_those_of_grid_sample() -> None:
    torch.manual_seed(2)
    image, places = torch.randn(1, 3, 12, 17), torch.rand(5, 7, 2) * 24 - 3
    found = _between(image[0].flatten(1).T, 12, 17, places)
    wanted = sampled(image, places[..., 0], places[..., 1])[0].permute(1, 2, 0)
    torch.testing.assert_close(found, wanted, atol=EXACT, rtol=0)


def test_a_deformed_convolution_samples_where_it_says() -> None:
    torch.manual_seed(3)
    layer, x = _Deformed(3, 5), torch.randn(1, 3, 10, 14)
    with torch.no_grad():
        offset = layer.offset_conv(x).clamp(-14 / 4, 14 / 4)
        rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(14.0), indexing="ij")
        wanted = torch.zeros(1, 5, 10, 14)
        for tap in range(9):
            y, x_of = rows + tap // 3 - 1 + offset[0, 2 * tap], columns + tap % 3 - 1 + offset[0, 2 * tap + 1]
            weight = layer.regular_conv.weight[:, :, tap // 3, tap % 3]
            wanted += torch.einsum("bchw,oc->bohw", sampled(x, x_of, y), weight)
        torch.testing.assert_close(layer(x), wanted, atol=EXACT, rtol=0)


def test_a_deformed_convolution_without_offsets_is_a_convolution() -> None:
    layer, x = _Deformed(2, 4), torch.randn(1, 2, 6, 8)
    nn.init.zeros_(layer.offset_conv.weight)
    nn.init.zeros_(layer.offset_conv.bias)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), layer.regular_conv(x), atol=EXACT, rtol=0)


def test_descriptors_come_from_the_patch_and_the_samples_it_chooses() -> None:
    torch.manual_seed(4)
    head, features = _DescriptorHead(8, 4), torch.randn(1, 8, 20, 30)
    pixels = torch.tensor([[5.3, 7.6], [14.0, 11.0], [20.9, 4.2]])
    unit = fn.normalize(features, dim=1)
    with torch.no_grad():
        found = head(features[0].flatten(1).T, 20, 30, pixels)
        for point, descriptor in zip(pixels, found, strict=True):
            column, row = point.long()
            patch = unit[:, :, row - 1 : row + 2, column - 1 : column + 2]
            offset = head.offset_conv(patch).clamp(-30 / 4, 30 / 4).reshape(2, 4)
            seen = sampled(unit, (point[0] + offset[0])[None], (point[1] + offset[1])[None])
            kept = fn.selu(head.sf_conv(seen))[0, :, 0]
            wanted = fn.normalize(torch.einsum("cp,pcd->d", kept, head.agg_weights), dim=0)
            torch.testing.assert_close(descriptor, wanted, atol=EXACT, rtol=0)


def test_keypoints_are_usable_peaks_in_order_of_strength() -> None:
    net, image = network(), picture()
    usable = torch.zeros_like(image, dtype=torch.bool)
    usable[10:50, 20:70] = True
    with torch.no_grad():
        pixels, strength, descriptors = net(image, usable)
        nowhere = net(image, torch.zeros_like(usable))[1]
    assert pixels.shape == (20, 2)
    assert descriptors.shape == (20, 8)
    found = pixels[strength > 0].round()
    assert len(found) > 5
    assert bool(((found >= torch.tensor([18, 8])) & (found <= torch.tensor([71, 51]))).all())
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(20), atol=EXACT, rtol=0)
    assert float(nowhere.abs().max()) == 0.0


def test_weights_for_colours_serve_for_grey() -> None:
    net = network()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    thirds = weights["block1.conv1.weight"] / 3
    weights["block1.conv1.weight"] = thirds.repeat(1, 3, 1, 1)
    other = Aliked(SIZE).eval()
    other.load(weights)
    torch.testing.assert_close(other.block1.conv1.weight, net.block1.conv1.weight)
    del weights["conv4.weight"]
    with pytest.raises(RuntimeError, match=r"conv4\.weight"):
        other.load(weights)
