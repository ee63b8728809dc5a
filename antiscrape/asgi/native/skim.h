/* Skimming: what of a page needs no reading, and where in a tag the URL stands that does (skimming.py).
 *
 * The patterns of that module are the rule; here the same is read a byte at a time, by memchr where nothing but one byte
 * ends what stands there. No byte is looked at more than a fixed number of times (SECURITY D6), and none at or behind
 * ``end`` ever is. What cannot be told before ``end`` is NULL: the state machine reads it, as it reads whatever is not plain.
 */

typedef const unsigned char *Spot;

/* What ends a name: HTML 13.2.5.8, 13.2.5.33. */
enum { BLANK = 1, STROKE = 2, CLOSE = 4, EQUALS = 8 };
static const unsigned char kinds[256] = {
    ['\t'] = BLANK, ['\n'] = BLANK, ['\f'] = BLANK, ['\r'] = BLANK, [' '] = BLANK, ['/'] = STROKE, ['>'] = CLOSE, ['='] = EQUALS,
};

/* The elements whose content has no tags. */
static const struct { const char *name; Py_ssize_t size; } opaque[] = {
    {"script", 6}, {"style", 5}, {"textarea", 8}, {"title", 5}, {"xmp", 3}, {"iframe", 6}, {"noembed", 7}, {"noframes", 8}, {"plaintext", 9},
};

/* An attribute: its name, its value (NULL where it has none), and what follows it. */
typedef struct {
    Spot name, named, start, stop, after;
} Attribute;

static inline int
is_letter(unsigned char byte)
{
    return (unsigned)(byte | 32) - 'a' < 26;
}

static inline Spot
byte_at(Spot at, Spot end, int byte)
{
    return at < end ? memchr(at, byte, (size_t)(end - at)) : NULL;
}

/* Return where the first byte of these kinds stands. */
static inline Spot
until(Spot at, Spot end, int kind)
{
    while (at < end && !(kinds[*at] & kind)) {
        at++;
    }
    return at;
}

/* Return where the first byte stands that is of none of them. */
static inline Spot
beyond(Spot at, Spot end, int kind)
{
    while (at < end && kinds[*at] & kind) {
        at++;
    }
    return at;
}

/* Tell whether these bytes are a name, which is in lower case, in whatever case. */
static int
is_named(Spot at, Spot end, const char *name, Py_ssize_t size)
{
    if (end - at != size) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!is_letter(at[i]) || (at[i] | 32) != name[i]) {
            return 0;
        }
    }
    return 1;
}

static int
is_opaque(Spot at, Spot end)
{
    for (size_t i = 0; i < sizeof opaque / sizeof *opaque; i++) {
        if ((*at | 32) == opaque[i].name[0] && is_named(at, end, opaque[i].name, opaque[i].size)) {
            return 1;
        }
    }
    return 0;
}

/* Read the attribute that begins at ``at`` (HTML 13.2.5.32 to 13.2.5.39); tell whether it ended. */
static int
read_attribute(Spot at, Spot end, Attribute *found)
{
    found->name = at;
    found->named = found->after = at = until(at + 1, end, BLANK | STROKE | CLOSE | EQUALS); /* "=" may be the first */
    found->start = found->stop = NULL;
    at = beyond(at, end, BLANK);
    if (at == end || *at != '=') {
        return at < end;
    }
    at = beyond(at + 1, end, BLANK);
    if (at == end || *at == '>') {
        found->after = at;
        return at < end;
    }
    if (*at == '"' || *at == '\'') {
        found->start = at + 1;
        found->stop = byte_at(at + 1, end, *at);
        found->after = found->stop == NULL ? NULL : found->stop + 1;
        return found->stop != NULL;
    }
    found->start = at;
    found->stop = found->after = until(at, end, BLANK | CLOSE);
    return found->stop < end;
}

/* Return what follows a tag of which ``at`` follows the name or an attribute. */
static Spot
after_tag(Spot at, Spot end)
{
    Attribute attribute;
    for (;;) {
        at = beyond(at, end, BLANK | STROKE);
        if (at == end) {
            return NULL;
        }
        if (*at == '>') {
            return at + 1;
        }
        if (!read_attribute(at, end, &attribute)) {
            return NULL;
        }
        at = attribute.after;
    }
}

/* Return what follows an element whose content has no tags. "<title/>" closes itself in SVG only: that is not told here. */
static Spot
after_opaque(Spot name, Spot named, Spot end)
{
    Py_ssize_t size = named - name;
    Spot at = after_tag(named, end);
    if (at == NULL || at[-2] == '/') {
        return NULL;
    }
    while ((at = byte_at(at, end, '<')) != NULL) {
        at++;
        if (end - at > size + 1 && *at == '/' && kinds[at[size + 1]] & (BLANK | STROKE | CLOSE)) {
            Py_ssize_t i = 0;
            while (i < size && (at[i + 1] | 32) == (name[i] | 32) && is_letter(at[i + 1])) {
                i++;
            }
            if (i == size) {
                return after_tag(at + 1 + size, end);
            }
        }
    }
    return NULL;
}

/* Return what follows a comment, of which "<!--" was read (HTML 13.2.5.43 to 13.2.5.52). */
static Spot
after_comment(Spot begun, Spot end)
{
    for (Spot at = begun; (at = byte_at(at, end, '>')) != NULL; at++) {
        Py_ssize_t size = at - begun;
        if (size == 0 || (size == 1 && *begun == '-') || (size >= 2 && at[-1] == '-' && at[-2] == '-')
            || (size >= 3 && at[-1] == '!' && at[-2] == '-' && at[-3] == '-')) {
            return at + 1;
        }
    }
    return NULL;
}

/* Return what follows whatever a "<" begins, ``at`` being behind it; NULL too for the end of the body, which is no element's. */
static Spot
after_markup(Spot at, Spot end)
{
    if (at == end) {
        return NULL;
    }
    if (is_letter(*at)) {
        Spot named = until(at, end, BLANK | STROKE | CLOSE);
        return is_opaque(at, named) ? after_opaque(at, named, end) : after_tag(named, end);
    }
    if (*at != '/' && *at != '!' && *at != '?') {
        return at;
    }
    Spot next = at + 1, bogus;
    if (*at == '/' && next < end && is_letter(*next)) {
        Spot named = until(next, end, BLANK | STROKE | CLOSE);
        return is_named(next, named, "body", 4) ? NULL : after_tag(named, end);
    }
    if (*at == '!' && end - next >= 2 && next[0] == '-' && next[1] == '-') {
        return after_comment(next + 2, end);
    }
    bogus = byte_at(next, end, '>');
    return bogus == NULL ? NULL : bogus + 1;
}

/* Take the bytes of a body, and one or two places in it, in this order. */
static int
take(PyObject *const *arguments, Py_ssize_t count, Py_ssize_t places, Spot *data, Py_ssize_t *at, Py_ssize_t *place)
{
    if (count != places + 1 || !PyBytes_CheckExact(arguments[0])) {
        PyErr_Format(PyExc_TypeError, "bytes and %zd places are expected", places);
        return 0;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(arguments[0]);
    *data = (Spot)PyBytes_AS_STRING(arguments[0]);
    *at = PyLong_AsSsize_t(arguments[1]);
    *place = PyErr_Occurred() || places < 2 ? size : PyLong_AsSsize_t(arguments[2]);
    if (PyErr_Occurred()) {
        return 0;
    }
    if (*at < 0 || *at > *place || *place > size) {
        PyErr_SetString(PyExc_ValueError, "no such place");
        return 0;
    }
    return 1;
}

/* skim(data, at, place): return how far there is nothing to be done, of what is whole before ``place``. */
static PyObject *
skim(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Spot data, next;
    Py_ssize_t at, place;
    if (!take(arguments, count, 2, &data, &at, &place)) {
        return NULL;
    }
    Spot here = data + at, end = data + place;
    while ((next = byte_at(here, end, '<')) != NULL) {
        here = next;
        if ((next = after_markup(here + 1, end)) == NULL) {
            return PyLong_FromSsize_t(here - data);
        }
        here = next;
    }
    return PyLong_FromSsize_t(place);
}

/* Return a name in lower case. */
static PyObject *
lowered(Spot at, Spot end)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, end - at);
    for (Py_ssize_t i = 0; made != NULL && i < end - at; i++) {
        PyBytes_AS_STRING(made)[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 32 : at[i]);
    }
    return made;
}

/* whole_tag(data, at): return the name of the element that a whole tag begins, and where the name and the tag end; or None. */
static PyObject *
whole_tag(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Spot data, after;
    Py_ssize_t at, size;
    if (!take(arguments, count, 1, &data, &at, &size)) {
        return NULL;
    }
    Spot name = data + at + 1, end = data + size;
    if (size - at < 2 || data[at] != '<' || !is_letter(*name)) {
        Py_RETURN_NONE;
    }
    Spot named = until(name, end, BLANK | STROKE | CLOSE);
    if (is_opaque(name, named) || (after = after_tag(named, end)) == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(Nnn)", lowered(name, named), (Py_ssize_t)(named - data), (Py_ssize_t)(after - data));
}

/* value_at(data, at, place): return the name of the attribute in whose value ``place`` is, where the value begins and ends, and
 * where the attribute does, reading from ``at`` on, between two attributes of a whole tag; None where it is in no value. */
static PyObject *
value_at(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    Spot data;
    Py_ssize_t at, place;
    if (!take(arguments, count, 2, &data, &at, &place)) {
        return NULL;
    }
    Spot here = data + at, sought = data + place, end = data + PyBytes_GET_SIZE(arguments[0]);
    Attribute found;
    for (;;) {
        here = beyond(here, end, BLANK | STROKE);
        if (here > sought || here == end || *here == '>' || !read_attribute(here, end, &found)) {
            Py_RETURN_NONE;
        }
        if (found.after > sought) {
            break;
        }
        here = found.after;
    }
    if (found.start == NULL || found.start > sought || sought >= found.stop) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue(
        "(Nnnn)", lowered(found.name, found.named), (Py_ssize_t)(found.start - data), (Py_ssize_t)(found.stop - data),
        (Py_ssize_t)(found.after - data));
}
