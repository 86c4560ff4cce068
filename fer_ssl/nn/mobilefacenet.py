"""A small network of face recognition, under the names of public InsightFace weights."""

from torch import Tensor, nn

from fer_ssl.errors import ConfigError

Blocks = tuple[int, int, int, int]  # of each stage


class Layers(nn.Module):
    """Modules one after another, called `layers` in state dicts; their input is added to the output if `residual`."""

    def __init__(self, *layers: nn.Module, residual: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = residual

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features)
        return features + output if self.residual else output


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False
) -> Layers:
    """Return a convolution that keeps the resolution at stride 1, batch norm and, unless `linear`, a PReLU."""
    kernels = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return Layers(kernels, nn.BatchNorm2d(outputs), *(() if linear else (nn.PReLU(outputs),)))


def bottleneck(inputs: int, outputs: int, inner: int, stride: int = 1, residual: bool = False) -> Layers:
    """Return the inverted bottleneck of MobileNetV2: widen to `inner`, filter each channel, narrow to `outputs`."""
    return Layers(
        convolution(inputs, inner, 1),
        convolution(inner, inner, 3, stride, groups=inner),
        convolution(inner, outputs, 1, linear=True),
        residual=residual,
    )


def residuals(width: int, inner: int, depth: int) -> Layers:
    """Return `depth` bottlenecks with shortcuts."""
    return Layers(*(bottleneck(width, width, inner, residual=True) for _ in range(depth)))


def embedding(width: int, side: int, features: int) -> Layers:
    """Return the global depthwise convolution over all places, a linear layer and batch norm."""
    places = Layers(nn.Conv2d(width, width, side, groups=width, bias=False), nn.BatchNorm2d(width))
    return Layers(places, nn.Flatten(), nn.Linear(width, features, bias=False), nn.BatchNorm1d(features))


class MobileFaceNet(nn.Module):
    """Faces [B, 3, S, S] to embeddings [B, features]; S is `image_size`, 112 for the weights that people have.

    `scale` widens the network and `blocks` deepen its four stages: 2 and (1, 4, 6, 2) is the usual one, 4 and
    (2, 8, 12, 4) the large. Raises ConfigError for a `scale` below 1. Source: Chen et al. 2018.
    """

    together = ("features.",)

    def __init__(
        self, image_size: int = 112, features: int = 512, scale: int = 2, blocks: Blocks = (1, 4, 6, 2)
    ) -> None:
        super().__init__()
        if scale < 1:
            raise ConfigError(f"backbone.scale={scale} leaves no channel; set backbone.scale=2")
        narrow, wide = 64 * scale, 128 * scale
        single = blocks[0] == 1
        self.layers = nn.ModuleList(
            [
                convolution(3, narrow, 3, 2),
                convolution(narrow, narrow, 3, groups=64) if single else residuals(narrow, 128, blocks[0]),
                bottleneck(narrow, narrow, 128, 2),
                residuals(narrow, 128, blocks[1]),
                bottleneck(narrow, wide, 256, 2),
                residuals(wide, 256, blocks[2]),
                bottleneck(wide, wide, 512, 2),
                residuals(wide, 256, blocks[3]),
            ]
        )
        self.conv_sep = convolution(wide, 512, 1)
        self.features = embedding(512, -(-image_size // 16), features)
        self.image_size, self.num_features = image_size, features

    def forward(self, faces: Tensor) -> Tensor:
        """Return the embeddings, normalised over the batch, not to unit length."""
        for stage in self.layers:
            faces = stage(faces)
        embeddings: Tensor = self.features(self.conv_sep(faces))
        return embeddings
