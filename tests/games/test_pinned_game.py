"""The game as it was when the shipped world learnt it, to the last pixel.

A world is trained on recordings of exactly this game. Who changes a pixel, a rule or a decision of the runner makes the
shipped world wrong, and its card with it: then these hashes may change only together with a newly trained world.
"""

import pytest

from tests.games.playing import digest, mixed_play

PINNED = (
    "d5029db86b4ce606f4ae99231d1c83a8d71780b08d3050817283aaffcd2574b3",
    "87bd16ce88841835547152453f769c47494bb8ed2bbe4bd398d0e38b94072e9c",
    "b17b712232f584fd0df3c228c6f392e941d51efda5982a7b52fb36d262d5e395",
    "3863bd6d4d795dc6c9810b29666b5240a7a02b48c27e8248762cdfc5afb916f2",
    "87107a4d6b0b246d2574909ec519ee7c0e210a289756936730565db45657f283",
    "1447012998332c77442086c5d418e4f1b4bb26a9107d2ba74b7ecc4de2776e18",
    "7935388f5b997e743873854359827d2810f9d84bbeb35ecf90de824cb70a4982",
    "5e4902321acb42ec603aa0ed628a37d8a6ee9e35a267e0fd90758b65457b5c27",
    "e6f957304b578f560c94068598b627aeb2723216d99da5d292935a3b9b298862",
    "fb9e6b7c088d0b75c81a86e2b630c1542cf56b22f98af7c7d34d3204ed00fec5",
    "129c09750575a853440fae73c42ab9e732c7911113c958b18dd1e8166d77dbf4",
    "1fdb94f304304a81d969e975d879bea0e0cf6b8ab9e72452f0c601c6599feac0",
    "d9db34189ca77a46e1b3d8040a31590efa832d0216f9f1d13dd830e165700f39",
    "16a9aa0da12bd2f9e430b69e8bbcbfb8bbe9f16f47b6b2615f1696672d6cb10f",
    "cdf9a4ae2c91e2bc0b1d3e69fd59a6bb1ec6db7d85679a49931c18af13eac8e3",
    "ad8146b8993914b675604f7bf9afa6c112560d9aeead90ae0ed8d9879e0e9ad9",
    "f88e8cc613da38911b1cf844c6460baf359c26aba8b36655c5854cd395f734f9",
    "98c1ee4c16cd555644b8e106b4346394483e15f7758e495818e6896189a6926b",
    "d537a24d6ed800c997c07d771cca11e80ea954cead65313412f72759bb6949e3",
    "6da0fd3af7748cb001d38e67b8722ce7c41ca07a7267b8f5d61ab87d9fd76175",
)  # of 400 steps in the level of each seed from 0 up


@pytest.mark.parametrize("seed", range(len(PINNED)))
def test_the_game_is_the_one_the_shipped_world_was_trained_on(seed: int) -> None:
    assert digest(mixed_play(seed, 400)) == PINNED[seed]
