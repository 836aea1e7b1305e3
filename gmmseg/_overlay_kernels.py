"""The kernel that colours classes over a picture."""

from gmmseg.mixture._jit import kernel


@kernel
def paint(picture, labels, table, n_labels, shift, outlines, first, last, out):
    """Colour the rows first:last of a picture.

    `table` (codes << (8 - shift), 3) has the colour of each code at each level of grey; the code
    of a pixel is its label or, on a line, ``n_labels + 1 +`` the label whose colour the line has.
    """
    rows, cols = labels.shape
    for r in range(first, last):
        below = labels[min(r + 1, rows - 1)]
        here, colours, painted = labels[r], picture[r], out[r]
        for c in range(cols):
            label = here[c]
            red, green, blue = colours[c, 0], colours[c, 1], colours[c, 2]
            if label != 0:
                code = label
                # Unused pixels have no line around them: a scene with missing scan lines would be
                # all lines. The border of a bright spot on a dark ground is all in the spot's
                # colour, not half of it.
                a, b = here[min(c + 1, cols - 1)], below[c]
                if outlines and ((a != label and a != 0) or (b != label and b != 0)):
                    code = n_labels + 1 + max(label, a, b)
                # luma of ITU-R BT.601 in integers
                grey = (77 * red + 150 * green + 29 * blue + 128) >> 8
                index = (code << (8 - shift)) + (grey >> shift)
                red, green, blue = table[index, 0], table[index, 1], table[index, 2]
            painted[c, 0] = red
            painted[c, 1] = green
            painted[c, 2] = blue
