"""Draws the architecture picture of the docs, for light and dark pages: ``python scripts/draw_architecture.py``."""

from __future__ import annotations

from pathlib import Path

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
THEMES = {
    "light": {"ink": "#1f2933", "line": "#7b8794", "box": "#ffffff", "accent": "#2f6fde", "soft": "#eef3fc"},
    "dark": {"ink": "#e4e7eb", "line": "#9aa5b1", "box": "#1f2430", "accent": "#7aa7ff", "soft": "#2a3142"},
}
# x, y, width, height, title, text, emphasized
BOXES = [
    (20, 30, 200, 66, "Your feed", "NDJSON, CSV, Parquet, SQL, lists", False),
    (20, 120, 200, 66, "Your Dag", "operators and sensors", True),
    (20, 210, 200, 66, "Work folder", "plan, progress, rejects, reports", False),
    (290, 30, 200, 66, "Worker", "checks the feed, plans, evaluates", True),
    (290, 210, 200, 66, "Triggerer", "waits and polls, holds no worker", True),
    (560, 20, 220, 56, "Mirakl Connect", "catalog, orders", False),
    (560, 92, 220, 56, "Marketplace", "Catalog Manager: imports, offers", False),
    (560, 164, 220, 56, "DJUST", "targeted CM21", False),
    (560, 236, 220, 56, "Sandbox", "a local Mirakl, for tests", False),
]
ARROWS = [
    ((220, 63), (290, 63)),
    ((220, 153), (290, 76)),
    ((290, 90), (220, 230)),
    ((390, 96), (390, 210)),
    ((490, 56), (560, 48)),
    ((490, 66), (560, 120)),
    ((490, 236), (560, 130)),
    ((490, 246), (560, 192)),
    ((490, 256), (560, 264)),
]


def draw(theme: dict[str, str]) -> str:
    """The picture in one theme's colors."""
    font = 'font-family="system-ui, sans-serif"'
    parts = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 312" role="img" '
            'aria-label="A Dag hands a feed to a worker, which plans; the triggerer waits; both call Mirakl.">'
        ),
        (
            f'<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{theme["line"]}"/></marker></defs>'
        ),
    ]
    for (x1, y1), (x2, y2) in ARROWS:
        parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{theme["line"]}" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )
    for x, y, width, height, title, text, emphasized in BOXES:
        fill, edge = (theme["soft"], theme["accent"]) if emphasized else (theme["box"], theme["line"])
        middle = x + width / 2
        parts += [
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{edge}"/>',
            (
                f'<text x="{middle}" y="{y + height / 2 - 4}" text-anchor="middle" {font} font-size="15" '
                f'font-weight="600" fill="{theme["ink"]}">{title}</text>'
            ),
            (
                f'<text x="{middle}" y="{y + height / 2 + 15}" text-anchor="middle" {font} font-size="12" '
                f'fill="{theme["ink"]}">{text}</text>'
            ),
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    for name, theme in THEMES.items():
        (IMAGES / f"architecture-{name}.svg").write_text(draw(theme))
