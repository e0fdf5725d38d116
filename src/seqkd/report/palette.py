"""Colours of the report and of its figures: name -> (light, dark).

`c0` to `c7` stay distinct under all common kinds of colour blindness (after Okabe & Ito 2008) and
have a contrast of 3:1 or more; text has 4.5:1 (WCAG AA).
"""

PALETTE = {
    "paper": ("#fdfdfb", "#141618"),
    "card": ("#ffffff", "#1b1e21"),
    "ink": ("#1d1f21", "#e8e8e4"),
    "soft": ("#5c6166", "#a3a8ad"),
    "faint": ("#e4e4de", "#2a2e32"),
    "line": ("#cfcfc8", "#3c4146"),
    "c0": ("#0072b2", "#5aaee6"),
    "c1": ("#c8500a", "#f08a4b"),
    "c2": ("#00805f", "#3fc296"),
    "c3": ("#b04f86", "#e08bbb"),
    "c4": ("#936a00", "#dcb13e"),
    "c5": ("#2b86b8", "#8fd0f5"),
    "c6": ("#7a5195", "#b998d4"),
    "c7": ("#777b7e", "#94999e"),
}
LIGHT = {name: light for name, (light, _) in PALETTE.items()}
