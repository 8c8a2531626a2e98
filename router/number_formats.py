"""The number formats that a model can be written in."""

from typing import Literal, get_args

NumberFormat = Literal[
    "f32",
    "bf16",
    "f16",
    "q8_0",
    "q6_k",
    "q5_k_m",
    "q5_k_s",
    "q5_1",
    "q5_0",
    "q4_k_m",
    "q4_k_s",
    "q4_1",
    "q4_0",
    "iq4_nl",
    "iq4_xs",
    "q3_k_l",
    "q3_k_m",
    "q3_k_s",
    "q2_k",
]
"""About from large to small."""
NUMBER_FORMATS: tuple[str, ...] = get_args(NumberFormat)
