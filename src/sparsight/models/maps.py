"""What a layer's output must be to be a map of the image: [N, channels, height, width]."""

from collections.abc import Sequence

from sparsight.io.errors import InputError


def check_maps(layer: str, output: Sequence[int], images: Sequence[int]) -> None:
    """Refuse outputs that are no maps, or whose channels are innermost.

    Four dimensions alone say little: windowed transformers give [N, h, w, C], and a mean over the
    places of such an array is one over channels.

    Parameters
    ----------
    layer : name of the module, for the error message.
    output : shape of its output.
    images : shape [N, C, H, W] of the images; maps have their aspect ratio, to within a pixel.

    Raises
    ------
    InputError
        Naming the layer and what it gives.
    """
    if len(output) != 4:
        kind = "tokens" if len(output) == 3 else "an array"
        raise InputError(
            f"layer '{layer}' gives {kind} of shape {list(output)}, not feature maps [N, C, h, w]; "
            "name a convolution, an activation or a pooling layer"
        )
    _, first, second, third = output
    if _fits(first, second, images) and not _fits(second, third, images):
        raise InputError(
            f"layer '{layer}' gives maps with the channels innermost, {list(output)} [N, h, w, C], "
            "not [N, C, h, w]; name a layer behind a permutation of the axes"
        )


def _fits(height: int, width: int, images: Sequence[int]) -> bool:
    # A side of n pixels becomes one of n / stride, rounded up or down.
    return abs(height * images[3] - width * images[2]) < max(images[2:]) + 1
