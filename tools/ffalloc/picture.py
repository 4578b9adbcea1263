# SPDX-License-Identifier: MIT
"""A trace's whole life as a picture: from left to right its events, from bottom to top the
addresses; a column is the pool at one moment."""

import io

import cairo

from common import cells, number, person, site_name, top_sites, write_file

# Told apart with most kinds of colour blindness (after Okabe and Ito, 2008), and by lightness.
PALETTE = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (86, 180, 233), (204, 121, 167),
    (150, 120, 30), (100, 60, 140), (120, 190, 90), (180, 40, 60), (40, 90, 90),
)
OTHER = (140, 140, 140)
HOLE = (255, 255, 255)
OLD, YOUNG = (49, 54, 149), (254, 196, 79)

WIDTH, HEIGHT = 1000, 500
LEFT, TOP, RIGHT, BOTTOM = 90, 60, 50, 50
LEGEND_LINE = 20


def blend(colour, ground, part):
    return tuple((a * part + b * (255 - part)) // 255 for a, b in zip(colour, ground))


def site_colours(data):
    return {site["number"]: PALETTE[i] for i, site in enumerate(top_sites(data, most=len(PALETTE)))}


def raster(data, by):
    """The cells as a cairo picture of one point each."""
    columns, rows = data["columns"], data["rows"]
    used, birth, sites = cells(data["life"], columns * rows)
    colours = site_colours(data)
    shades = {}
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, columns, rows)
    stride = surface.get_stride()
    points = bytearray(stride * rows)
    for column in range(columns):
        for row in range(rows):
            cell = column * rows + row
            key = (used[cell], birth[cell] if by == "age" else sites[cell])
            point = shades.get(key)
            if point is None:
                colour = (blend(YOUNG, OLD, key[1]) if by == "age"
                          else colours.get(key[1], OTHER))
                red, green, blue = blend(colour, HOLE, key[0])
                point = shades[key] = bytes((blue, green, red, 255))
            at = (rows - 1 - row) * stride + column * 4
            points[at:at + 4] = point
    surface.flush()
    surface.get_data()[:] = points
    surface.mark_dirty()
    return surface


def elide(context, words, width):
    """The words; of what is wider than `width` an ellipsis stands for the middle."""
    shown, kept = words, min(len(words), 300)
    while len(shown) > 300 or context.text_extents(shown).x_advance > width:
        kept -= 1
        shown = f"{words[:kept - kept // 2]}…{words[len(words) - kept // 2:]}"
    return shown


def text(context, x, y, words, size=12, align=0.0, grey=0.2):
    """A line that ends within the picture."""
    context.set_font_size(size)
    words = elide(context, words, LEFT + WIDTH - x if align == 0 else LEFT + WIDTH)
    context.set_source_rgb(grey, grey, grey)
    extents = context.text_extents(words)
    context.move_to(x - extents.x_advance * align, y)
    context.show_text(words)


def ticks(limit):
    """About five round numbers up to a limit."""
    step = 1
    while limit / step > 6:
        step *= 2.5 if str(step)[0] == "2" else 2
        step = int(step)
    return range(0, int(limit) + 1, step)


def byte_ticks(limit):
    step = 1
    while limit / step > 6:
        step *= 2
    return range(0, limit + 1, step)


def draw_axes(context, data):
    height = data["rows"] * data["row_bytes"]
    context.set_line_width(1)
    for address in byte_ticks(height):
        y = TOP + HEIGHT - HEIGHT * address / height
        text(context, LEFT - 8, y + 4, person(address), align=1)
        context.set_source_rgba(0, 0, 0, 0.12)
        context.move_to(LEFT - 4, y)
        context.line_to(LEFT + WIDTH, y)
        context.stroke()
    for event in ticks(data["events"]):
        x = LEFT + WIDTH * event / data["events"]
        text(context, x, TOP + HEIGHT + 18, f"{event:,}", align=0.5)
    text(context, LEFT + WIDTH, TOP + HEIGHT + 38, "event", align=1)
    context.set_source_rgb(0.3, 0.3, 0.3)
    context.rectangle(LEFT, TOP, WIDTH, HEIGHT)
    context.stroke()


def draw_mark(context, data):
    """The call that needs the last of the pool."""
    height = data["rows"] * data["row_bytes"]
    x = LEFT + WIDTH * data["set_by"]["event"] / data["events"]
    y = TOP + HEIGHT - HEIGHT * data["mark"] / height
    context.set_source_rgb(0.8, 0.1, 0.1)
    context.arc(x, y, 4, 0, 7)
    context.fill()


def legend_lines(data, by):
    if by == "age":
        return [(OLD, "placed at the start of the run"), (YOUNG, "placed at its end")]
    key = "mark_bytes"
    named = [(PALETTE[i], f"{site['name'] or 'unknown'}: {person(site[key])} in "
              f"{number(site['mark_count'], 'block')} at the mark") for i, site in
             enumerate(top_sites(data, most=len(PALETTE)))]
    return named + [(OTHER, "other sites" if named else "used")]


def draw_legend(context, data, by):
    y = TOP + HEIGHT + BOTTOM + 10
    for colour, words in legend_lines(data, by):
        context.set_source_rgb(*(part / 255 for part in colour))
        context.rectangle(LEFT, y - 10, 12, 12)
        context.fill()
        text(context, LEFT + 20, y, words)
        y += LEGEND_LINE


def draw(context, data, by):
    context.set_source_rgb(1, 1, 1)
    context.paint()
    context.select_font_face("sans-serif")
    process = data["process"] or {}
    name = " ".join(process.get("command", [])) or data["trace"]
    text(context, LEFT, 24, name, size=16)
    mark = data["set_by"]
    site = site_name(data, mark["site"])
    text(context, LEFT, 46, f"smallest pool {data['min_pool']:,} bytes; its last is taken by "
         f"{mark['call']}({mark['size']}), event {mark['event']:,}"
         + (f", at {site}" if site != "unknown" else ""), grey=0.35)
    context.save()
    context.translate(LEFT, TOP)
    context.scale(WIDTH / data["columns"], HEIGHT / data["rows"])
    context.set_source_surface(raster(data, by))
    context.get_source().set_filter(cairo.FILTER_NEAREST)
    context.paint()
    context.restore()
    draw_axes(context, data)
    draw_mark(context, data)
    draw_legend(context, data, by)


def size(data, by):
    return (LEFT + WIDTH + RIGHT,
            TOP + HEIGHT + BOTTOM + LEGEND_LINE * (len(legend_lines(data, by)) + 1))


def svg(data, path, by):
    content = io.BytesIO()
    surface = cairo.SVGSurface(content, *size(data, by))
    draw(cairo.Context(surface), data, by)
    surface.finish()
    write_file(path, content.getvalue())


def png(data, path, by):
    content = io.BytesIO()
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, *size(data, by))
    draw(cairo.Context(surface), data, by)
    surface.write_to_png(content)
    write_file(path, content.getvalue())
