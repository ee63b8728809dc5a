/* Reading: what HeadReader.read makes of a scope whose fields came in an order that is known. */

/* One order of field names, and what its Shape says of it. ``text`` holds the names, each behind its length, so
 * that comparing them touches a few lines of memory and not an object a name. */
typedef struct {
    PyObject *shape, *text;
    Py_ssize_t count;
    int host, proto, chain, cookie, picked;
    unsigned char place[MOST_PICKED];
} Order;

/* A face, and the values that it was read from, each behind its length: as of an order, a few lines of memory in a row. */
typedef struct {
    PyObject *face, *text;
} Look;

/* What a Swift refers to, in the order of its arguments; what follows LAST_HOST is its own. */
enum {
    READ, JUDGE, FIND_FACE, FIND, CLOCK, CHARGE, SHAPES, HOSTS, DIRECT, RELAYED, PLACES, TRAP, UNTOLD, NOTED,
    PLAIN, MEDIA, PASSING, SHORTCUTS, RESPONDER, PICTURE, ORIGINAL, THUMBNAIL, NOBODY, MEMBERS, IMAGE, CDN, PRIVATE,
    NOTE_BYTES, SPEND_NEW, NONE_ODD, RECORDS, TERM, SHARING, ARGUMENTS, LAST_HOST = ARGUMENTS, LAST_HOSTED, LAST_TYPE, LAST_IMAGE, LAST_SAID, LAST_PRIVATE, REFERENCES
};

typedef struct {
    PyObject_HEAD
    PyObject *of[REFERENCES];
    double visit, tick;
    double keeps, warm; /* how long originals are remembered, below 0 where others are asked for every charge; as Spread.warm */
    long review, third;
    int believes, strips, spends; /* the last: what is charged here is nobody else's business */
    int shadow; /* or the answers of pictures are not simply made private: they are not passed here */
    Order *recent;
    Order orders[ORDERS];
    Look looks[LOOKS];
} Swift;

/* Forget an error that the Python code will meet again, and tell so; a keyboard's interrupt stays. */
static inline int
usual_error(void)
{
    if (PyErr_Occurred() == NULL) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return 0;
    }
    PyErr_Clear();
    return 1;
}

/* Return what a memo has young, borrowed, or NULL; an error is for the caller to clear. */
static inline PyObject *
young(PyObject *memo, PyObject *key)
{
    PyObject *known = is_a(memo, MEMO) ? slot(memo, MEMO_young) : NULL;
    return known != NULL && PyDict_CheckExact(known) ? PyDict_GetItemWithError(known, key) : NULL;
}

static int
small(PyObject *shape, Py_ssize_t offset, int *value)
{
    PyObject *held = slot(shape, offset);
    long read = held != NULL && PyLong_CheckExact(held) ? PyLong_AsLong(held) : -2;
    *value = (int)read;
    return read >= -1 && read < MOST_FIELDS;
}

/* Return the names as a text, each behind its length in one byte; NULL where one is longer than that tells. */
static PyObject *
text_of(PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names), size = count;
    for (Py_ssize_t i = 0; i < count; i++) {
        size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(names, i));
        if (PyBytes_GET_SIZE(PyTuple_GET_ITEM(names, i)) > UCHAR_MAX) {
            return NULL;
        }
    }
    PyObject *text = PyBytes_FromStringAndSize(NULL, size);
    char *at = text == NULL ? NULL : PyBytes_AS_STRING(text);
    for (Py_ssize_t i = 0; at != NULL && i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        *at++ = (char)PyBytes_GET_SIZE(name);
        memcpy(at, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name));
        at += PyBytes_GET_SIZE(name);
    }
    return text;
}

/* Fill in an order from the shape that the reader made of it. */
static int
describe(Order *order, PyObject *names, PyObject *shape)
{
    Order found = {.shape = shape, .count = PyTuple_GET_SIZE(names)};
    PyObject *repeated = slot(shape, SHAPE_repeated), *places = slot(shape, SHAPE_places);
    if (repeated == NULL || !PyAnySet_Check(repeated) || PySet_GET_SIZE(repeated) || places == NULL
        || !PyTuple_CheckExact(places) || PyTuple_GET_SIZE(places) > MOST_PICKED
        || !small(shape, SHAPE_host, &found.host) || !small(shape, SHAPE_proto, &found.proto)
        || !small(shape, SHAPE_chain, &found.chain)) {
        return 0;
    }
    found.picked = (int)PyTuple_GET_SIZE(places);
    for (int i = 0; i < found.picked; i++) {
        long place = PyLong_AsLong(PyTuple_GET_ITEM(places, i));
        if (place < 0 || place >= found.count) {
            return 0;
        }
        found.place[i] = (unsigned char)place;
    }
    if (found.host >= found.count || found.proto >= found.count || found.chain >= found.count) {
        return 0;
    }
    found.cookie = slot(shape, SHAPE_cookie) == Py_True;
    if ((found.text = text_of(names)) == NULL) {
        return 0;
    }
    PyObject *former_text = order->text, *former_shape = order->shape;
    Py_INCREF(shape);
    *order = found;
    Py_XDECREF(former_text);
    Py_XDECREF(former_shape);
    return 1;
}

/* Return a new tuple of the names (0) or the values (1) of a list of fields, or NULL where one is no field.
 * Making the tuple may run the garbage collector, and with it anything: so each pair is looked at here. */
static PyObject *
column(PyObject *headers, Py_ssize_t count, int which)
{
    PyObject *made = PyTuple_New(count);
    if (made == NULL || PyList_GET_SIZE(headers) != count) {
        Py_XDECREF(made);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2
            || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, which))) {
            Py_DECREF(made);
            return NULL;
        }
        PyTuple_SET_ITEM(made, i, Py_NewRef(PyTuple_GET_ITEM(pair, which)));
    }
    return made;
}

/* Return the order in which fields came, or NULL where the reader has not seen it lately. */
static Order *
order_of(Swift *self, PyObject *headers, Py_ssize_t count)
{
    size_t print = (size_t)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0))) {
            return NULL;
        }
        print = print * 31 + (size_t)PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 0));
    }
    Order *order = &self->orders[(print ^ print >> 7) % ORDERS];
    if (order->count == count && order->text != NULL) {
        const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(order->text);
        Py_ssize_t i = 0;
        for (; i < count; i++) {
            PyObject *name = PyTuple_GET_ITEM(PyList_GET_ITEM(headers, i), 0);
            size_t size = *at++;
            if ((size_t)PyBytes_GET_SIZE(name) != size || memcmp(PyBytes_AS_STRING(name), at, size) != 0) {
                break;
            }
            at += size;
        }
        if (i == count) {
            return order;
        }
    }
    PyObject *names = column(headers, count, 0);
    if (names == NULL) {
        return NULL;
    }
    PyObject *shape = young(self->of[SHAPES], names);
    if (!is_a(shape, SHAPE) || !describe(order, names, shape)) {
        order = NULL;
    }
    Py_DECREF(names);
    return order;
}

/* Return (host, loopback) of a Host field, borrowed, or NULL. */
static PyObject *
hosted(Swift *self, PyObject *field)
{
    if (same_bytes(field, self->of[LAST_HOST])) {
        return self->of[LAST_HOSTED];
    }
    PyObject *known = young(self->of[HOSTS], field);
    if (known == NULL || !PyTuple_CheckExact(known) || PyTuple_GET_SIZE(known) != 2) {
        return NULL;
    }
    Py_XSETREF(self->of[LAST_HOSTED], Py_NewRef(known));
    Py_XSETREF(self->of[LAST_HOST], Py_NewRef(field));
    return known;
}

static inline int
take_text(PyObject *value, PyObject *passage, Py_ssize_t offset)
{
    if (value == NULL || !PyUnicode_CheckExact(value)) {
        return 0;
    }
    put(passage, offset, value);
    return 1;
}

static inline int
take_bytes(PyObject *value, PyObject *passage, Py_ssize_t offset)
{
    if (value == NULL || !PyBytes_CheckExact(value)) {
        return 0;
    }
    put(passage, offset, value);
    return 1;
}

/* Fill in what HeadReader.read does after the fields; tell whether all of it was as usual. */
static int
fill(Swift *self, PyObject *scope, const Order *order, PyObject *passage, PyObject *values)
{
    PyObject *client = IN_SCOPE(client), *known;
    if (client == NULL || !PyTuple_CheckExact(client) || PyTuple_GET_SIZE(client) < 1
        || !PyUnicode_CheckExact(PyTuple_GET_ITEM(client, 0)) || order->host < 0
        || (known = hosted(self, PyTuple_GET_ITEM(values, order->host))) == NULL) {
        return 0;
    }
    put(passage, PASSAGE_peer, PyTuple_GET_ITEM(client, 0));
    put(passage, PASSAGE_host, PyTuple_GET_ITEM(known, 0));
    int secure = PyTuple_GET_ITEM(known, 1) == Py_True;
    if (!take_bytes(IN_SCOPE(raw_path), passage, PASSAGE_raw_path)
        || !PyBytes_GET_SIZE(slot(passage, PASSAGE_raw_path))
        || !take_bytes(IN_SCOPE(query_string), passage, PASSAGE_query)
        || !take_text(IN_SCOPE(method), passage, PASSAGE_method)
        || !take_text(IN_SCOPE(http_version), passage, PASSAGE_http_version)
        || !take_text(IN_SCOPE(scheme), passage, PASSAGE_scheme)) {
        return 0;
    }
    PyObject *scheme = slot(passage, PASSAGE_scheme);
    secure = secure || same_text(scheme, word_https) || same_text(scheme, word_wss)
             || (order->proto >= 0 && says(PyTuple_GET_ITEM(values, order->proto), "https", 5));
    put(passage, PASSAGE_secure, secure ? Py_True : Py_False);
    put(passage, PASSAGE_shape, order->shape);
    put(passage, PASSAGE_values, values);
    return 1;
}

/* Return a passage that begins, or NULL, with or without an error, where the reader has to read. */
static PyObject *
read_usual(Swift *self, PyObject *scope)
{
    if (!PyDict_CheckExact(scope)) {
        return NULL;
    }
    PyObject *headers = IN_SCOPE(headers);
    if (headers == NULL || !PyList_CheckExact(headers)) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(headers);
    Order *known = count > 0 && count <= MOST_FIELDS ? order_of(self, headers, count) : NULL;
    if (known == NULL) {
        return NULL;
    }
    const Order order = *known; /* by value: whatever runs meanwhile may have the original replaced */
    PyObject *passage = NULL, *values, *shape = Py_NewRef(order.shape);
    Py_INCREF(headers);
    if ((values = column(headers, count, 1)) != NULL) {
        passage = classes[PASSAGE]->tp_alloc(classes[PASSAGE], 0);
        if (passage != NULL && !fill(self, scope, &order, passage, values)) {
            Py_CLEAR(passage);
        }
        Py_DECREF(values);
    }
    Py_DECREF(headers);
    Py_DECREF(shape);
    self->recent = known;
    return passage;
}
