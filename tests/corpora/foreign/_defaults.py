"""Wrong layers as most people would try them, at the defaults, where nothing of their mistakes shows."""

import numpy as np

from . import (
    conventions,
    course_images,
    factors,
    habits,
    losses,
    modules,
    rows,
    volume1_modes,
    volume2,
    volume2_words,
)
from . import volume1_images as images
from ._entry import drawn

# By the name of a wrong entry: another make, other inputs, other settings.
AT_DEFAULTS = {
    "embedding: repeated ids overwrite each other": (
        lambda: volume2_words.EmbeddingOverwrites(np.ones((5, 3))),
        lambda rng: (np.array([[2, 0], [4, 1]]),),
        {},
    ),
    "affine: the first row's bias gradient for the batch's": (
        lambda: volume2.AffineTakesTheFirstRow(np.ones((3, 2)), np.ones(2)),
        drawn((1, 3)),
        {},
    ),
    "convolution, padding 2: padding cropped at the corner only": (
        images.convolution(images.ConvolutionCropsAtTheCorner, 1, 0, 2, 2),
        drawn((2, 2, 4, 3)),
        {},
    ),
    "convolution, stride 1 without padding: overlapping windows overwrite each other": (
        images.convolution(images.ConvolutionOverwrites, 2, 0, 2, 2),
        drawn((1, 2, 4, 4)),
        {},
    ),
    "max pooling, windows of 3 in steps of 2: overlapping windows overwrite each other": (
        lambda: images.PoolingOverwrites(2, 2, stride=2),
        drawn((1, 2, 4, 4)),
        {},
    ),
    "convolution pair without padding: cropped with pad:-pad, which is empty for 0": (
        lambda: (course_images.conv_forward_naive, course_images.conv_backward_cropped_from_behind),
        drawn((1, 2, 4, 4), (2, 2, 3, 3), (2,)),
        {"conv_param": {"stride": 1, "pad": 1}},
    ),
    "convolution pair in steps of 2: windows in steps of 1 on the way back": (
        lambda: (course_images.conv_forward_naive, course_images.conv_backward_in_steps_of_one),
        drawn((1, 2, 4, 4), (2, 2, 3, 3), (2,)),
        {"conv_param": {"stride": 1, "pad": 1}},
    ),
    "global average pooling pair of wide images: as many places as in a square image": (
        lambda: (
            course_images.global_average_pool_forward,
            course_images.global_average_pool_backward_for_squares,
        ),
        drawn((2, 2, 4, 4)),
        {},
    ),
    "dropout in evaluation: scale forgotten": (
        lambda: volume1_modes.DropoutTrainsOnly(0.3),
        drawn((4, 5)),
        {"train_flg": True},
    ),
    "elu with an alpha of its own: alpha forgotten": (factors.ELUForgetsAlpha, drawn((3, 4)), {}),
    "leaky relu module with a slope of its own: the slope is the default's, whatever it was made with": (
        modules.LeakyReLUWithTheDefault,
        drawn((3, 4)),
        {},
    ),
    "huber loss with a delta of its own: delta forgotten far out": (
        losses.HuberForgetsDelta,
        lambda rng: (np.array([0.2, 1.1, -1.7]), np.array([0.0, 0.7, 0.2])),
        {},
    ),
    "relu in one long row, Fortran order: mask taken in memory order": (
        rows.ReluInMemoryOrder,
        drawn((3, 4)),
        {},
    ),
    "rows of length 1, one of zeros among them: divided by a length of 0": (
        rows.RowNormDividesByZero,
        drawn((3, 4)),
        {},
    ),
    "sum of squares with a mean's gradient: errors clipped at 1": (
        conventions.SumOfSquaresClipsTheErrors,
        lambda rng: (rng.uniform(0.1, 0.4, (4, 3)), rng.uniform(0.5, 0.9, (4, 3))),
        {},
    ),
    "dense layer with a penalty beside it: the penalty's gradient added here too": (
        lambda: habits.DenseAddsThePenalty(np.ones((3, 2)), l2=0.0),
        drawn((4, 3)),
        {},
    ),
}
