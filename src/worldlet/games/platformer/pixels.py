"""The platformer's pictures as letters: a letter is a colour, a dot is transparent, a space ends a row of pixels."""

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

# What differs between the themes: h and l high and low sky, d its decoration, u sun, 0-3 earth, t and T its surface,
# p and P platforms, q and Q what lies in the pits.
THEME_COLOURS: dict[str, dict[str, Colour]] = {
    "grass": {
        "h": (92, 172, 240), "l": (148, 208, 252), "d": (238, 250, 255), "u": (255, 226, 92), "0": (146, 92, 52),
        "1": (116, 70, 40), "2": (172, 116, 68), "3": (84, 50, 30), "t": (88, 190, 60), "T": (48, 140, 44),
        "p": (206, 150, 84), "P": (140, 92, 46), "q": (48, 116, 216), "Q": (132, 188, 250),
    },
    "desert": {
        "h": (240, 176, 104), "l": (252, 216, 156), "d": (255, 240, 208), "u": (255, 250, 180), "0": (212, 160, 88),
        "1": (184, 130, 66), "2": (234, 188, 116), "3": (148, 100, 50), "t": (248, 220, 140), "T": (214, 176, 92),
        "p": (170, 112, 72), "P": (112, 70, 44), "q": (128, 84, 44), "Q": (172, 124, 66),
    },
    "snow": {
        "h": (160, 196, 224), "l": (206, 226, 240), "d": (255, 255, 255), "u": (255, 248, 220), "0": (112, 140, 176),
        "1": (86, 112, 150), "2": (142, 170, 200), "3": (64, 86, 120), "t": (250, 252, 255), "T": (196, 216, 236),
        "p": (150, 206, 236), "P": (88, 146, 190), "q": (28, 70, 130), "Q": (92, 150, 206),
    },
    "cave": {
        "h": (26, 28, 38), "l": (44, 46, 60), "d": (92, 92, 108), "u": (96, 220, 200), "0": (100, 96, 100),
        "1": (76, 72, 78), "2": (126, 122, 124), "3": (52, 50, 56), "t": (150, 144, 140), "T": (112, 106, 106),
        "p": (136, 104, 76), "P": (86, 62, 44), "q": (10, 10, 16), "Q": (30, 110, 104),
    },
    "night": {
        "h": (16, 20, 60), "l": (36, 44, 100), "d": (250, 244, 200), "u": (236, 236, 220), "0": (58, 66, 92),
        "1": (42, 48, 72), "2": (78, 88, 116), "3": (28, 32, 52), "t": (52, 132, 112), "T": (32, 92, 86),
        "p": (112, 96, 140), "P": (68, 58, 96), "q": (10, 12, 30), "Q": (60, 80, 160),
    },
    "lava": {
        "h": (62, 20, 24), "l": (104, 34, 30), "d": (60, 50, 52), "u": (255, 150, 60), "0": (66, 56, 60),
        "1": (48, 40, 44), "2": (90, 76, 78), "3": (30, 24, 28), "t": (140, 120, 116), "T": (100, 84, 84),
        "p": (150, 136, 130), "P": (96, 84, 82), "q": (250, 110, 20), "Q": (255, 214, 80),
    },
}  # fmt: skip
# Colours that no theme changes: coins, spikes, gems, hero, enemy.
SHARED_COLOURS: dict[str, Colour] = {
    "k": (24, 20, 28), "w": (255, 255, 255), "y": (255, 204, 40), "Y": (196, 132, 16), "g": (190, 196, 204),
    "G": (120, 126, 138), "r": (232, 40, 96), "R": (160, 20, 64), "s": (252, 200, 160), "b": (40, 96, 220),
    "B": (24, 60, 156), "n": (92, 52, 28), "e": (150, 60, 214), "E": (98, 30, 150), "c": (60, 220, 230),
    "m": (250, 120, 200), "o": (250, 140, 40), "v": (120, 230, 90),
}  # fmt: skip

FILLS = {  # two textures a theme, laid out as a chequerboard
    "grass": (
        "00000000 00200010 00000000 01000020 00001000 00000000 02000010 00000000",
        "00000000 01000200 00010000 00000000 00200001 01000000 00000200 00000000",
    ),
    "desert": (
        "22222222 00000000 00000000 11111111 00000000 02000000 00000000 11111111",
        "22222222 00000000 00002000 11111111 00000000 00000000 00000000 11111111",
    ),
    "snow": (
        "00000000 00002200 00022000 00000000 00000000 02200000 22000000 00000000",
        "00000000 01100000 00110000 00000000 00000110 00000011 00000000 00000000",
    ),
    "cave": (
        "22222223 20000003 20000003 20000003 20000003 20000003 21111113 33333333",
        "22222223 20000003 20010003 20000003 20000103 20000003 21111113 33333333",
    ),
    "night": (
        "00000000 22222220 10001110 10001110 00000000 22202222 11101000 11101000",
        "00000000 22202222 11101000 11101000 00000000 22222220 10001110 10001110",
    ),
    "lava": (
        "00000000 00Q00000 00q11000 01110000 00000000 00000110 00001Q00 00000q00",
        "00000000 00011000 00000110 00000000 0Q000000 0q110000 00000000 00000000",
    ),
}
TOPS = {
    "grass": "tttttttt tttttttt TtTttTtT 0T0TT0T0 00000000 00200010 00000000 01000020",
    "desert": "tttttttt tttttttt tttTTttt TTT00TTT 00000000 02000000 00000000 11111111",
    "snow": "tttttttt tttttttt tttttttt TttTTttT 0TT00TT0 00000000 00002200 00022000",
    "cave": "tttttttt TtTTtTTT TTTTTTTT 20000003 20000003 20000003 21111113 33333333",
    "night": "tttttttt tTttTttT TTTTTTTT 3T33T3T3 00000000 22222220 10001110 10001110",
    "lava": "tttttttt tTTttTTt TTTTTTTT q0Qq0qqQ 00q000q0 00000000 00011000 00000000",
}
DECOR_HIGH = {  # small things high in the sky, one tile each
    "grass": "...dd... .dddddd. dddddddd dddddddd .dddddd. ........ ........ ........",
    "desert": "........ ..k...k. .k.k.k.k ........ ........ ........ ........ ........",
    "snow": "........ .dd..dd. dddddddd .dddddd. ........ ...d.... ......d. .d......",
    "cave": "dddddddd .dddddd. .dddddd. ..dddd.. ..dddd.. ...dd... ...dd... ....d...",
    "night": "........ ...d.... ..ddd... ...d.... ........ .....d.. ........ .d......",
    "lava": "..dddd.. .dddddd. ddddddd. .ddddddd ..dddd.. ........ .Q...... ....Q...",
}
DECOR_LOW = {
    "grass": "........ ..dddd.. .dddddd. dddddddd ........ ........ ........ ........",
    "desert": "........ ........ .dddddd. ...dddd. ........ ........ ........ ........",
    "snow": "........ ....d... .d...... ......d. ..d..... .....d.. d....... ...d....",
    "cave": "........ .u...... ....... ....u... ........ ........ ......u. ........",
    "night": "........ ........ .d....d. ........ ....d... ........ ..d..... ........",
    "lava": "........ .Q...... .....q.. ........ ..q..... ......Q. ........ ...Q....",
}
SUNS = {  # the upper half, two tiles wide; the lower half mirrors it
    "round": (
        ".....uuuuuu..... ...uuuuuuuuuu... ..uuuuuuuuuuuu.. .uuuuuuuuuuuuuu. "
        ".uuuuuuuuuuuuuu. uuuuuuuuuuuuuuuu uuuuuuuuuuuuuuuu uuuuuuuuuuuuuuuu"
    ),
    "moon": (
        ".....uuuuu...... ...uuuuuu....... ..uuuuu......... .uuuuu.......... "
        ".uuuu........... uuuuu........... uuuuu........... uuuuu..........."
    ),
}
BURIED = (  # what lies one tile under the surface where a chunk of the level begins; it tells what comes
    "........ ..cc.... .cwcc... .cccc... ..cc.... ........ ........ ........",
    "........ .....mm. ....mwmm ....mmmm .....mm. ........ ........ ........",
    "........ ........ ..ww..ww ..wwwwww ....ww.. ..wwwwww ..ww..ww ........",
    "..kkkk.. .kwwwwk. .kwkwkwk .kwwwwwk ..kwwwk. ..kwkwk. ...kkk.. ........",
    "........ ...vv... ..vwvv.. .vvvvvv. ..vvvv.. ...vv... ........ ........",
    "........ .oooooo. .owooko. .ooooko. .oooooo. .kkkkkk. ........ ........",
    "........ .gggggg. .gkkkkg. .gkwwkg. .gkwwkg. .gkkkkg. .gggggg. ........",
    "..y..... .yyy.... yyyyy... .yyy.... ..y..y.. ....yyy. .....y.. ........",
    "........ ........ ........ ......kk ....kk.. ..kk.... kk...... ........",
    "........ .yyy.... .ywy.... .yyy.... ....yyy. ....ywy. ....yyy. ........",
    "........ eeeeee.. ewkewke. eeeeeee. eeeeeee. e.e.e.e. ........ ........",
    "........ ...gg... ...gg... ..gggg.. ..gggg.. .gggggg. .gggggg. ........",
)
PLATFORM = "PPPPPPPP pppppppp pppppppp pPppppPp PPPPPPPP .PP..PP. ........ ........"
COIN = "........ ..yyyy.. .ywyyyY. .ywyYyY. .ywyYyY. .yyyyYY. ..YYYY.. ........"
SPIKE = "........ ...g.... ...g...g ..gg..gg ..gG..gG .ggG.ggG .gGG.gGG gggGgggG"
PIT = "........ ........ QQ..QQ.. qqQQqqQQ qqqqqqqq qqqqqqqq qqqqqqqq qqqqqqqq"

HERO = {
    "idle": (
        "....rrrrr... ...rrrrrrr.. ..rrrrrrrrr. ..rRssssss.. ..Rsswkswk.. ..Rssssssss. ...sssssss.. ..yyyyyyyy.. "
        ".ybbbbbbbb.. .ybbbbbbbbs. .sbbbbbbbbs. ..bbbbbbbb.. ..BBBBBBBB.. ..BBB..BBB.. ..nnn..nnn.. ..nnnn.nnnn."
    ),
    "run_0": (
        "....rrrrr... ...rrrrrrr.. ..rrrrrrrrr. ..rRssssss.. ..Rsswkswk.. ..Rssssssss. ...sssssss.. .yyyyyyyyy.. "
        "yybbbbbbbbs. y.bbbbbbbbss .sbbbbbbbb.. .sbbbbbbbb.. ..BBBBBBBBB. .BBBB..BBBB. nnn.....nnnn nn.......nnn"
    ),
    "run_1": (
        "....rrrrr... ...rrrrrrr.. ..rrrrrrrrr. ..rRssssss.. ..Rsswkswk.. ..Rssssssss. ...sssssss.. .yyyyyyyyy.. "
        ".ybbbbbbbb.. ..bbbbsbbb.. ..bbbssbbb.. ..bbbbbbbb.. ...BBBBBB... ...BBBBB.... ...nnnnn.... ...nnnnnn..."
    ),
    "jump": (
        "....rrrrr... ...rrrrrrr.. ..rrrrrrrrr. ..rRssssss.s ..Rsswkswkss ..Rssssssss. ...sssssss.. .yyyyyyyy... "
        "y.bbbbbbbb.. s.bbbbbbbb.. ssbbbbbbbb.. ..bbbbbbbb.. .BBBBBBBBB.. .BBBB.BBBBn. .nn....nnnn. ..n....nn..."
    ),
    "fall": (
        "y...rrrrr... .y.rrrrrrr.. ..rrrrrrrrr. s.rRssssss.s ssRsswwswwss ..Rsswkswk.. ...sssssss.. ..yyyyyyyy.. "
        "..bbbbbbbb.. ..bbbbbbbb.. ..bbbbbbbb.. ..bbbbbbbb.. ..BBBBBBBB.. .BBB..BBB... .nn...nnnn.. .nnn..nn...."
    ),
    "crouch": (
        "............ ............ ............ ............ ............ ............ ....rrrrr... ...rrrrrrr.. "
        "..rrrrrrrrr. ..rRssssss.. ..Rsswkswk.. ..Rssssssss. .yyyyyyyyy.. .sbbbbbbbbs. .BBBBBBBBBB. .nnnnn.nnnnn"
    ),
    "dead": (
        "............ ............ ...rrrrrr... ..rrrrrrrr.. ..rRssssss.. ..Rskskksk.. ..Rsksskss.. ..Rkskksks.. "
        "...ssssss... .yyyyyyyyyy. sbbbbbbbbbbs sbbbbbbbbbbs ..bbbbbbbb.. ..BBBBBBBB.. ..BB....BB.. .nnn....nnn."
    ),
    "puff": (
        "............ ............ ...w....w... ....w..w.... .w..gggg..w. ..wggwwgg... ..ggwwwwgg.. .wgwwwwwwg.. "
        ".wgwwwwwwgw. ..ggwwwwgg.. ..wggwwgg.w. .w..gggg.... ....w..w..w. ...w....w... ............ ............"
    ),
    "swing": (  # wider than the box: the staff sticks out in front
        "....rrrrr........... ...rrrrrrr.......... ..rrrrrrrrr......... ..rRssssss.......... "
        "..Rsswkswk.......... ..Rssssssss......... ...sssssss.......... .yyyyyyyyy........ww "
        "yybbbbbbbbbss....www .y.bbbbbbbbsnnnnnnww ...bbbbbbb.....nnnww ..bbbbbbbb.......www "
        "..BBBBBBBB........ww .BBBB..BBBB......... .nnn....nnn......... .nnnn...nnnn........"
    ),
}
ENEMY = {
    "enemy_0": "..eeee.. .eeeeee. ewkeewke ewkeewke eeeeeeee EeeEEeeE EEEEEEEE .k....k.",
    "enemy_1": "........ ..eeee.. .eeeeee. ewkeewke ewkeewke EeeEEeeE EEEEEEEE ..k..k..",
    "enemy_puff": "w..w..w. ..g..g.. .g.ww.g. w.wwww.w ..wwww.. .g.ww.g. ..g..g.. w..w..w.",
}
