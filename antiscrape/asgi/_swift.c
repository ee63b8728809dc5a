/* A known clean client's request in C: read, judged, and its answer let through.
 *
 * Everything here is a shorter way to what HeadReader.read, Gate.judge and Responder.send do, on the same
 * objects: nothing is kept here but references to them, and the names of fields in orders that came lately.
 * The rule that makes it safe to read: up to the point that a comment marks, a request is only looked at.
 * Whatever is not plain before that point (a type that is not the usual one, a path not asked for lately, a
 * client not met lately, anything that speaks against it, a budget without room, a review that is due)
 * leaves the request as it came, and the Python code does the whole of it. So there is no second judge: this
 * one knows a single sentence, "as usual". Of pictures that sentence is said of those that cost a request and
 * no more: an original that was charged before, or a size that no budget counts.
 *
 * Slots of Python objects are read where their descriptors say that they are, looked up once in bind().
 * An empty slot is NULL, and every type is checked before it is relied on: a header list or a scope may hold
 * anything that a server or an outer middleware puts there.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "one thread at a time: without the GIL the Python code is used"
#endif
#ifndef SOURCE
#define SOURCE ""
#endif

/* Orders of field names that are compared instead of hashed: a browser has one for each kind of request. */
#define ORDERS 64
#define MOST_FIELDS 100
/* Faces that are compared instead of looked up: a visitor has one for pages, one for pictures, one for scripts. */
#define LOOKS 2048
#define WAYS 4 /* where several are wanted in turn, none drives the others out */
#define MOST_PICKED 16

/* ---- What is bound once: classes, the places of their slots, words ------------------------------------ */

enum { PASSAGE, HISTORY, NETWORK, PLACE, FACE, MEMO, LIMIT, SHAPE, ALLOWANCE, HABITS, ODDITIES, MEMBER, PACE, JOURNAL, CLASSES };
static PyTypeObject *classes[CLASSES];

#define SLOTS(X) \
    X(PASSAGE, account) X(PASSAGE, allowance) X(PASSAGE, find) X(PASSAGE, grant) X(PASSAGE, habits) X(PASSAGE, history) X(PASSAGE, host) \
    X(PASSAGE, http_version) X(PASSAGE, look) X(PASSAGE, method) X(PASSAGE, peer) X(PASSAGE, profile) \
    X(PASSAGE, query) X(PASSAGE, raw_path) X(PASSAGE, resource) X(PASSAGE, role) X(PASSAGE, scheme) \
    X(PASSAGE, secure) X(PASSAGE, shape) X(PASSAGE, values) X(PASSAGE, verdict) \
    X(HISTORY, cookies_returned) X(HISTORY, face) X(HISTORY, gone) X(HISTORY, habits) X(HISTORY, held_until) \
    X(HISTORY, journal) X(HISTORY, key) X(HISTORY, last) X(HISTORY, look) X(HISTORY, met) X(HISTORY, name) X(HISTORY, news) X(HISTORY, originals) \
    X(HISTORY, outside) X(HISTORY, requests) X(HISTORY, rollup) X(HISTORY, tat) X(HISTORY, tats) X(HISTORY, trouble) \
    X(HISTORY, visit) X(JOURNAL, all) X(JOURNAL, begun) X(JOURNAL, lifted) X(JOURNAL, originals) X(JOURNAL, rates) \
    X(JOURNAL, requests) X(JOURNAL, room) X(JOURNAL, subjects) X(JOURNAL, told) \
    X(NETWORK, factor) X(NETWORK, journal) X(NETWORK, name) X(NETWORK, rollup) X(NETWORK, tat) X(NETWORK, tats) \
    X(PLACE, limit) X(PLACE, picture) X(PLACE, resource) X(PLACE, watched) X(PLACE, within) \
    X(FACE, http_version) X(FACE, kept) X(FACE, kind) X(FACE, look) X(FACE, odd) X(FACE, picked) \
    X(FACE, profile) X(FACE, role) X(FACE, scheme) X(FACE, secure) X(FACE, shape) \
    X(MEMO, young) X(LIMIT, amount) X(LIMIT, interval) X(LIMIT, of_bytes) X(LIMIT, window) \
    X(ALLOWANCE, bytes) X(ALLOWANCE, only) X(ALLOWANCE, originals) X(HABITS, assets) X(HABITS, image) X(HABITS, odd) \
    X(HABITS, cookies_offered) X(HABITS, hurry) X(HABITS, images) X(HABITS, minute_pages) X(HABITS, pace) \
    X(HABITS, pages) X(HABITS, ring) X(HABITS, run) X(HABITS, thumbnails) X(HABITS, typed) X(HABITS, unreferred) \
    X(PACE, equal) X(ODDITIES, again) X(ODDITIES, anew) X(MEMBER, images) X(MEMBER, last) \
    X(MEMBER, token) X(SHAPE, chain) X(SHAPE, conditional) X(SHAPE, cookie) X(SHAPE, host) X(SHAPE, pick) X(SHAPE, places) X(SHAPE, proto) \
    X(SHAPE, repeated)

#define OFFSET(class, name) static Py_ssize_t class##_##name;
SLOTS(OFFSET)
#undef OFFSET

#define WORDS(X) \
    X(antiscrape) X(client) X(extensions) X(headers) X(http_version) X(method) X(note_kind) X(query_string) \
    X(raw_path) X(scheme) X(state) X(status) X(send) X(type) X(lesser) X(open) X(hasten) X(rests) X(brief) X(resting) X(http) X(path) X(throw) X(close) X(__await__)

#define WORD(name) \
    static PyObject *word_##name; \
    static Py_ssize_t scope_##name, message_##name;
WORDS(WORD)
#undef WORD
static PyObject *word_start, *word_https, *word_wss, *word_head, *word_get, *word_cache_control;

static inline PyObject *
slot(PyObject *object, Py_ssize_t offset)
{
    return *(PyObject **)((char *)object + offset);
}

static inline void
put(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    PyObject **at = (PyObject **)((char *)object + offset), *former = *at;
    *at = Py_NewRef(value);
    Py_XDECREF(former);
}

static inline int
is_a(PyObject *object, int class)
{
    return object != NULL && Py_IS_TYPE(object, classes[class]);
}

static inline int
same_bytes(PyObject *one, PyObject *other)
{
    if (one == other) {
        return 1;
    }
    if (one == NULL || other == NULL || !PyBytes_CheckExact(one) || !PyBytes_CheckExact(other)) {
        return 0;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(one);
    return size == PyBytes_GET_SIZE(other) && !memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), size);
}

static inline int
says(PyObject *bytes, const char *text, Py_ssize_t size)
{
    return PyBytes_GET_SIZE(bytes) == size && !memcmp(PyBytes_AS_STRING(bytes), text, size);
}

static inline int
same_text(PyObject *one, PyObject *other)
{
    if (one == other) {
        return 1;
    }
    if (one == NULL || other == NULL || !PyUnicode_CheckExact(one) || !PyUnicode_CheckExact(other)) {
        return 0;
    }
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(one) < 0 || PyUnicode_READY(other) < 0) {
        return 0;
    }
#endif
    return PyUnicode_GET_LENGTH(one) == PyUnicode_GET_LENGTH(other) && PyUnicode_Compare(one, other) == 0;
}

static inline int
number(PyObject *object, double *value)
{
    if (object == NULL || !PyFloat_CheckExact(object)) {
        return 0;
    }
    *value = PyFloat_AS_DOUBLE(object);
    return 1;
}

/* Return what a dictionary holds under an interned key, borrowed, or NULL. Servers make all their scopes by the same lines, so
 * a key stands where it stood the last time: to look there first touches neither the dictionary's index nor the key. */
static inline PyObject *
item(PyObject *held, PyObject *key, Py_ssize_t *place)
{
    Py_ssize_t at = *place, from = 0;
    PyObject *there, *value, *found;
    if (PyDict_Next(held, &at, &there, &value) && there == key) {
        return value;
    }
    if ((found = PyDict_GetItemWithError(held, key)) != NULL) {
        for (at = 0; PyDict_Next(held, &at, &there, &value); from = at) {
            if (there == key) {
                *place = from;
                break;
            }
        }
    }
    return found;
}
#define IN_SCOPE(name) item(scope, word_##name, &scope_##name)
#define IN_MESSAGE(name) item(message, word_##name, &message_##name)

/* ---- A swift way through one middleware --------------------------------------------------------------- */

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

/* ---- The judgement ------------------------------------------------------------------------------------ */

static const Order *
order_of_shape(Swift *self, PyObject *shape)
{
    if (self->recent != NULL && self->recent->shape == shape) {
        return self->recent;
    }
    for (int i = 0; shape != NULL && i < ORDERS; i++) {
        if (self->orders[i].shape == shape) {
            return &self->orders[i];
        }
    }
    return NULL;
}

/* Tell whether a text is an IPv4 address as it is written canonically (identity._DOTTED), which is its record's key. */
static int
is_dotted(const char *text, Py_ssize_t size)
{
    int octets = 0, digits = 0, octet = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (text[i] == '.') {
            if (!digits || ++octets > 3) {
                return 0;
            }
            digits = octet = 0;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || (digits && !octet)) {
            return 0;
        }
        octet = octet * 10 + (text[i] - '0');
        if (++digits > 3 || octet > 255) {
            return 0;
        }
    }
    return octets == 3 && digits > 0;
}

/* Return the record that a store keeps under an address, borrowed, if it was met since the lists of networks were read. */
static PyObject *
record_of(Swift *self, PyObject *key)
{
    PyObject *history = PyDict_CheckExact(self->of[RECORDS]) ? PyDict_GetItemWithError(self->of[RECORDS], key) : NULL;
    return is_a(history, HISTORY) && PyList_GET_SIZE(self->of[TERM]) == 1
                   && slot(history, HISTORY_met) == PyList_GET_ITEM(self->of[TERM], 0)
               ? history
               : NULL;
}

/* Return the history of whom a request comes from, borrowed, or NULL: of who asked lately, or of an address that is its
 * own key (Clients.history, where that would find a record which it met before). */
static PyObject *
history_of(Swift *self, PyObject *passage, const Order *order, PyObject *values)
{
    PyObject *peer = slot(passage, PASSAGE_peer), *history = NULL;
    if (peer == NULL || !PyUnicode_CheckExact(peer)) {
        return NULL;
    }
    if (order->chain < 0 || !self->believes) {
        history = young(self->of[DIRECT], peer);
        if (history == NULL && PyUnicode_IS_COMPACT_ASCII(peer)
            && is_dotted((const char *)PyUnicode_1BYTE_DATA(peer), PyUnicode_GET_LENGTH(peer))) {
            history = record_of(self, peer);
        }
    }
    else if (PyDict_CheckExact(self->of[RELAYED])) {
        PyObject *relayed = PyDict_GetItemWithError(self->of[RELAYED], peer);
        PyObject *chain = PyTuple_GET_ITEM(values, order->chain);
        history = relayed == NULL ? NULL : young(relayed, chain);
        if (relayed != NULL && history == NULL && is_dotted(PyBytes_AS_STRING(chain), PyBytes_GET_SIZE(chain))) {
            PyObject *key = PyUnicode_FromStringAndSize(PyBytes_AS_STRING(chain), PyBytes_GET_SIZE(chain));
            history = key == NULL ? NULL : record_of(self, key);
            Py_XDECREF(key);
        }
    }
    return is_a(history, HISTORY) && slot(history, HISTORY_gone) == Py_False ? history : NULL;
}

/* Return the first of the WAYS places where a face is kept that was read from these values. Whoever sends more values
 * that fall on the same places has them looked up, as everything was before. */
static Look *
look_at(Swift *self, PyObject *kind, const Order *order, PyObject *values)
{
    uint64_t print = ((uint64_t)(uintptr_t)kind >> 4) ^ ((uint64_t)(uintptr_t)order->shape >> 5), word;
    for (int i = 0; i < order->picked; i++) {
        PyObject *value = PyTuple_GET_ITEM(values, order->place[i]);
        const char *at = PyBytes_AS_STRING(value);
        Py_ssize_t left = PyBytes_GET_SIZE(value);
        print = (print ^ (uint64_t)left) * 0x9E3779B97F4A7C15u;
        for (; left >= 8; at += 8, left -= 8) {
            memcpy(&word, at, 8);
            print = (print ^ word) * 0x9E3779B97F4A7C15u;
            print ^= print >> 29;
        }
        word = 0;
        memcpy(&word, at, (size_t)left);
        print = (print ^ word) * 0x9E3779B97F4A7C15u;
    }
    return &self->looks[(print >> 40) % (LOOKS / WAYS) * WAYS];
}

/* Tell whether a text holds just these values. */
static int
holds(PyObject *text, const Order *order, PyObject *values)
{
    const char *at = PyBytes_AS_STRING(text), *end = at + PyBytes_GET_SIZE(text);
    for (int i = 0; i < order->picked; i++) {
        PyObject *value = PyTuple_GET_ITEM(values, order->place[i]);
        Py_ssize_t size = PyBytes_GET_SIZE(value);
        if (end - at < (Py_ssize_t)sizeof size + size || memcmp(at, &size, sizeof size) != 0
            || memcmp(at + sizeof size, PyBytes_AS_STRING(value), (size_t)size) != 0) {
            return 0;
        }
        at += (Py_ssize_t)sizeof size + size;
    }
    return at == end;
}

/* Keep a face with the values that it was read from, in the first of these places; the last one's goes. */
static int
keep_look(Look *looks, PyObject *face, const Order *order, PyObject *values)
{
    Py_ssize_t size = 0;
    for (int i = 0; i < order->picked; i++) {
        size += (Py_ssize_t)sizeof size + PyBytes_GET_SIZE(PyTuple_GET_ITEM(values, order->place[i]));
    }
    PyObject *text = PyBytes_FromStringAndSize(NULL, size);
    if (text == NULL) {
        return 0;
    }
    char *at = PyBytes_AS_STRING(text);
    for (int i = 0; i < order->picked; i++) {
        PyObject *value = PyTuple_GET_ITEM(values, order->place[i]);
        size = PyBytes_GET_SIZE(value);
        memcpy(at, &size, sizeof size);
        memcpy(at + sizeof size, PyBytes_AS_STRING(value), (size_t)size);
        at += (Py_ssize_t)sizeof size + size;
    }
    Look last = looks[WAYS - 1];
    memmove(looks + 1, looks, (WAYS - 1) * sizeof *looks);
    looks->face = Py_NewRef(face);
    looks->text = text;
    Py_XDECREF(last.face);
    Py_XDECREF(last.text);
    return 1;
}

/* Return the face of a request, borrowed from its client's history; NULL where it may not be kept there. */
static PyObject *
face_of(Swift *self, PyObject *passage, PyObject *history, PyObject *kind, const Order *order, PyObject *values)
{
    PyObject *shape = order->shape, *face, *pick, *picked;
    Look *looks = look_at(self, kind, order, values);
    for (Look *look = looks; look < looks + WAYS; look++) {
        if (look->face != NULL && slot(look->face, FACE_shape) == shape && slot(look->face, FACE_kind) == kind
            && slot(look->face, FACE_secure) == slot(passage, PASSAGE_secure)
            && same_text(slot(look->face, FACE_http_version), slot(passage, PASSAGE_http_version))
            && same_text(slot(look->face, FACE_scheme), slot(passage, PASSAGE_scheme))
            && holds(look->text, order, values)) {
            if (slot(history, HISTORY_face) != look->face) {
                put(history, HISTORY_face, look->face);
            }
            return slot(history, HISTORY_face);
        }
    }
    pick = slot(shape, SHAPE_pick);
    if (pick == NULL || (picked = PyObject_CallOneArg(pick, values)) == NULL) {
        return NULL;
    }
    PyObject *asked[] = {passage, kind, picked};
    face = PyObject_Vectorcall(self->of[FIND_FACE], asked, 3, NULL);
    Py_DECREF(picked);
    /* exactly a Face: what is put into a history here is never the stranger's */
    int kept = is_a(face, FACE) && slot(face, FACE_kept) == Py_True && keep_look(looks, face, order, values);
    if (kept) {
        put(history, HISTORY_face, face);
    }
    Py_XDECREF(face);
    return kept ? slot(history, HISTORY_face) : NULL;
}

/* Networks around a principal that are charged here: an IPv6 address has two. */
#define MOST_LEVELS 4

/* What a judgement comes to, worked out before anything is written. */
typedef struct {
    PyObject *history, *now;              /* the history borrowed */
    PyObject *tat, *requests;             /* new, or NULL */
    PyObject *networks[MOST_LEVELS];      /* borrowed */
    PyObject *wide[MOST_LEVELS];          /* new */
    PyObject *allowance;                  /* borrowed from the place; NULL where no picture is asked for */
    PyObject *member;                     /* borrowed; NULL where no group is to be told */
    double interval;                      /* of the limit that is charged */
    int levels, noted, returned, later;
    int told;  /* others are told of what is charged */
    int fresh; /* an original that was not the latest: the visit is reviewed, and finds nothing */
} Outcome;

static void
drop(Outcome *outcome)
{
    Py_CLEAR(outcome->now);
    Py_CLEAR(outcome->tat);
    Py_CLEAR(outcome->requests);
    while (outcome->levels > 0) {
        Py_DECREF(outcome->wide[--outcome->levels]);
    }
}

/* Work out what spending.spend_one would write; tell whether there is room at every level. */
static int
spend(Outcome *outcome, PyObject *limit, double now)
{
    double interval, window, tat, factor;
    if (!is_a(limit, LIMIT) || !number(slot(limit, LIMIT_interval), &interval)
        || !number(slot(limit, LIMIT_window), &window) || !number(slot(outcome->history, HISTORY_tat), &tat)) {
        return 0;
    }
    double latest = now + window;
    outcome->interval = interval;
    tat = (tat > now ? tat : now) + interval;
    if (tat > latest || interval == 0.0 || (outcome->tat = PyFloat_FromDouble(tat)) == NULL) {
        return 0;
    }
    PyObject *network = slot(outcome->history, HISTORY_rollup);
    for (; network != Py_None; network = slot(network, NETWORK_rollup)) {
        if (outcome->levels == MOST_LEVELS || !is_a(network, NETWORK) || !number(slot(network, NETWORK_tat), &tat)
            || !number(slot(network, NETWORK_factor), &factor)) {
            return 0;
        }
        tat = (tat > now ? tat : now) + interval / factor;
        PyObject *wide = tat > latest ? NULL : PyFloat_FromDouble(tat);
        if (wide == NULL) {
            return 0;
        }
        outcome->networks[outcome->levels] = network;
        outcome->wide[outcome->levels++] = wide;
    }
    return 1;
}

/* Tell whether what is charged here has to be told to others, who can be told (SharedStore.lesser): 1, 0, or -1 with an error. */
static int
tells(Swift *self)
{
    if (self->of[SHARING] == Py_None) {
        return 0;
    }
    PyObject *lesser = PyObject_GetAttr(self->of[SHARING], word_lesser);
    int told = lesser == NULL ? -1 : lesser == Py_None;
    Py_XDECREF(lesser);
    return told;
}

/* Read a number that a store keeps in an attribute. */
static int
number_of(PyObject *store, PyObject *name, double *value)
{
    PyObject *held = PyObject_GetAttr(store, name);
    int read = number(held, value);
    Py_XDECREF(held);
    return read;
}

/* Begin a journal that rests, beside others that were begun a moment ago (SharedStore.open); tell whether that was done. */
static int
lay_down(PyObject *store, PyObject *purse, Py_ssize_t at, PyObject *name, double window, double now)
{
    double rests, brief, begun, until;
    if (name == NULL || !PyBytes_CheckExact(name) || !PyBytes_GET_SIZE(name) || !number_of(store, word_rests, &rests)
        || !number_of(store, word_brief, &brief) || !((window < brief ? window : brief) * rests > 0.0)) {
        return 0;
    }
    PyObject *resting = PyObject_GetAttr(store, word_resting), *purses = NULL, *journal = NULL, *room = NULL;
    PyObject *bed = resting != NULL && PySequence_Size(resting) > 0 ? PySequence_GetItem(resting, -1) : NULL;
    int done = bed != NULL && PyTuple_Check(bed) && PyTuple_GET_SIZE(bed) == 3
               && number(PyTuple_GET_ITEM(bed, 0), &begun) && number(PyTuple_GET_ITEM(bed, 1), &until) && now < until
               && PyList_CheckExact(purses = PyTuple_GET_ITEM(bed, 2))
               && (room = PyFloat_FromDouble((window < brief ? window : brief) * rests)) != NULL
               && (journal = classes[JOURNAL]->tp_alloc(classes[JOURNAL], 0)) != NULL
               && PyList_Append(purses, purse) == 0;
    if (done) {
        PyObject *nothing = PyFloat_FromDouble(0.0);
        done = nothing != NULL;
        if (done) {
            PyObject_GC_UnTrack(journal); /* nothing in it leads back to it */
            put(journal, JOURNAL_requests, nothing);
            put(journal, JOURNAL_room, room);
            put(journal, JOURNAL_begun, PyTuple_GET_ITEM(bed, 0));
            put(journal, JOURNAL_rates, Py_None);
            put(journal, JOURNAL_originals, Py_None);
            put(journal, JOURNAL_subjects, Py_None);
            put(journal, JOURNAL_told, Py_False);
            put(journal, JOURNAL_all, Py_False);
            put(journal, JOURNAL_lifted, Py_False);
            put(purse, at, journal);
        }
        Py_XDECREF(nothing);
    }
    Py_XDECREF(room);
    Py_XDECREF(journal);
    Py_XDECREF(bed);
    Py_XDECREF(resting);
    return done;
}

/* See to it that every record has a journal: an empty one does no harm. */
static int
open_journals(Swift *self, Outcome *outcome, PyObject *limit, double now)
{
    double window;
    if (!number(slot(limit, LIMIT_window), &window)) {
        return 0;
    }
    for (int i = -1; i < outcome->levels; i++) {
        PyObject *purse = i < 0 ? outcome->history : outcome->networks[i];
        Py_ssize_t at = i < 0 ? HISTORY_journal : NETWORK_journal;
        if (slot(purse, at) != Py_None
            || lay_down(self->of[SHARING], purse, at, slot(purse, i < 0 ? HISTORY_name : NETWORK_name), window, now)) {
            continue;
        }
        if (!usual_error()) {
            return 0;
        }
        PyObject *asked[] = {self->of[SHARING], purse, slot(limit, LIMIT_window)};
        PyObject *opened = PyObject_VectorcallMethod(word_open, asked, 3, NULL);
        Py_XDECREF(opened);
        if (opened == NULL) {
            return 0;
        }
    }
    return 1;
}

/* Note in its journal that seconds were charged to a record (SharedStore._note_request); -1 with an error. */
static int
note_seconds(Swift *self, PyObject *purse, PyObject *journal, double seconds)
{
    double noted, room;
    if (!is_a(journal, JOURNAL) || !number(slot(journal, JOURNAL_requests), &noted)
        || !number(slot(journal, JOURNAL_room), &room)) {
        PyErr_SetString(PyExc_TypeError, "a record without a journal was charged");
        return -1;
    }
    PyObject *more = PyFloat_FromDouble(noted + seconds);
    if (more == NULL) {
        return -1;
    }
    put(journal, JOURNAL_requests, more);
    Py_DECREF(more);
    if (noted + seconds > room) {
        PyObject *asked[] = {self->of[SHARING], purse};
        PyObject *done = PyObject_VectorcallMethod(word_hasten, asked, 2, NULL);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    return 0;
}

/* Tell whether two whole numbers are the same. */
static inline int
same_number(PyObject *one, PyObject *other)
{
    return one == other
           || (one != NULL && other != NULL && PyLong_CheckExact(one) && PyLong_CheckExact(other)
               && PyObject_RichCompareBool(one, other, Py_EQ) == 1);
}

static inline int
is_zero(PyObject *object)
{
    return object != NULL && PyLong_CheckExact(object) && PyObject_IsTrue(object) == 0;
}

/* What a Resource holds, as far as pictures are concerned. */
enum { RESOURCE_KIND, RESOURCE_IDENTITY = 2, RESOURCE_SIZE, RESOURCE_FIELDS };

/* Read a whole number that a visit's habits keep; -1 where there is none. */
static inline long
count_of(PyObject *object, Py_ssize_t offset)
{
    PyObject *held = slot(object, offset);
    if (held == NULL || !PyLong_CheckExact(held)) {
        return -1;
    }
    long count = PyLong_AsLong(held);
    if (count < 0) {
        PyErr_Clear();
        return -1;
    }
    return count;
}

/* Tell whether a visit will be calm (signals.navigation.is_calm) with one original more, whatever the request says: one
 * that adds to what is odd comes nowhere near to telling of it. Where it is close, the Python code looks. */
static int
stays_calm(Swift *self, PyObject *history, int returned)
{
    PyObject *habits = slot(history, HISTORY_habits), *pace = slot(habits, HABITS_pace);
    if (slot(habits, HABITS_odd) != self->of[NONE_ODD] || (pace != Py_None && !is_a(pace, PACE))) {
        return 0;
    }
    long images = count_of(habits, HABITS_images), pages = count_of(habits, HABITS_pages);
    long thumbnails = count_of(habits, HABITS_thumbnails), assets = count_of(habits, HABITS_assets);
    long run = count_of(habits, HABITS_run), hurry = count_of(habits, HABITS_hurry), typed = count_of(habits, HABITS_typed);
    long unreferred = count_of(habits, HABITS_unreferred), cookies = count_of(habits, HABITS_cookies_offered);
    long minute = count_of(habits, HABITS_minute_pages), ring = count_of(habits, HABITS_ring);
    long equal = pace == Py_None ? 0 : count_of(pace, PACE_equal);
    if ((images | pages | thumbnails | assets | run | hurry | typed | unreferred | cookies | minute | ring | equal) < 0) {
        return 0;
    }
    return images < 198 && run < 7 && hurry < 8 && typed < 8 && unreferred < 7 && minute <= 40 && equal < 7
           && (images < 4 || (pages && (thumbnails || 2 * pages <= images)))
           && (pages < 4 || assets || thumbnails)
           && (cookies < 4 || returned || slot(history, HISTORY_cookies_returned) == Py_True)
           && __builtin_popcountl((unsigned long)ring) < 12;
}

/* Work out what History.note_request would do about a picture: nothing for the latest once more, a call for another. */
static int
note_picture(Swift *self, Outcome *outcome, PyObject *resource)
{
    PyObject *habits = slot(outcome->history, HISTORY_habits), *size;
    if (!is_a(habits, HABITS) || PyTuple_GET_SIZE(resource) < RESOURCE_FIELDS) {
        return 0;
    }
    size = PyTuple_GET_ITEM(resource, RESOURCE_SIZE);
    if (same_number(PyTuple_GET_ITEM(resource, RESOURCE_IDENTITY), slot(habits, HABITS_image))) {
        return 1;
    }
    outcome->fresh = size == self->of[ORIGINAL];
    outcome->noted = outcome->fresh || size == self->of[THUMBNAIL];
    return !outcome->fresh || stays_calm(self, outcome->history, outcome->returned);
}

/* Work out what History.note_request would write; tell whether the visit goes on and needs no review. */
static int
note(Swift *self, Outcome *outcome, PyObject *place, PyObject *kind, const Order *order, double now)
{
    PyObject *history = outcome->history, *visit = slot(history, HISTORY_visit), *score;
    PyObject *news = slot(history, HISTORY_news), *requests = slot(history, HISTORY_requests);
    double last, held;
    if (!number(slot(history, HISTORY_last), &last) || now - last > self->visit
        || !number(slot(history, HISTORY_held_until), &held) || held > now) {
        return 0;
    }
    outcome->later = now - last > self->tick;
    if (visit == NULL || !PyTuple_Check(visit) || PyTuple_GET_SIZE(visit) != 2
        || !PyLong_CheckExact(score = PyTuple_GET_ITEM(visit, 0)) || PyObject_IsTrue(score) != 0) {
        return 0;
    }
    if (requests == NULL || !PyLong_CheckExact(requests)) {
        return 0;
    }
    long count = PyLong_AsLong(requests);
    if (count < 0 || (outcome->requests = PyLong_FromLong(count + 1)) == NULL) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->of[NOTED]); i++) {
        outcome->noted |= PyTuple_GET_ITEM(self->of[NOTED], i) == kind;
    }
    outcome->returned = order->cookie && slot(history, HISTORY_cookies_returned) == Py_False;
    if (outcome->allowance != NULL && !note_picture(self, outcome, slot(place, PLACE_resource))) {
        return 0;
    }
    if (outcome->fresh) {
        return slot(history, HISTORY_outside) != NULL;
    }
    int due = slot(place, PLACE_watched) != Py_False || !((count + 1) & self->review);
    return !due || !(outcome->noted || outcome->returned || news != Py_False);
}

/* Tell whether a record has room for bytes (spending.bytes_left). */
static int
has_room(PyObject *tats, PyObject *limits, double now)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(limits); i++) {
        PyObject *limit = PyTuple_GET_ITEM(limits, i), *kept = NULL;
        double amount, window, tat = now;
        if (!is_a(limit, LIMIT) || !number(slot(limit, LIMIT_amount), &amount) || amount == 0.0
            || !number(slot(limit, LIMIT_window), &window) || slot(limit, LIMIT_of_bytes) == NULL) {
            return 0;
        }
        if (tats != Py_None) {
            if (tats == NULL || !PyDict_CheckExact(tats)) {
                return 0;
            }
            kept = PyDict_GetItemWithError(tats, slot(limit, LIMIT_of_bytes));
        }
        if (PyErr_Occurred() || (kept != NULL && !number(kept, &tat)) || tat - now >= window) {
            return 0;
        }
    }
    return 1;
}

/* Charge an original that nobody near has had (MemoryStore.spend_new); tell whether that was done. */
static int
spend_new(Swift *self, Outcome *outcome, PyObject *identity)
{
    PyObject *asked[] = {outcome->history, slot(outcome->allowance, ALLOWANCE_originals), identity, outcome->now};
    PyObject *done = asked[1] == NULL ? NULL : PyObject_Vectorcall(self->of[SPEND_NEW], asked, 4, NULL);
    Py_XDECREF(done);
    return done == Py_True;
}

/* Tell whether an original was charged before, and nothing is to be forgotten (MemoryStore._spend_distinct), and
 * whether History.note_again has nothing to add. */
static int
was_had(Swift *self, Outcome *outcome, PyObject *passage, PyObject *identity, double now)
{
    PyObject *originals = slot(outcome->history, HISTORY_originals), *first, *key, *odd;
    Py_ssize_t at = 0;
    double charged;
    if (originals == NULL || !PyDict_CheckExact(originals) || PyDict_Contains(originals, identity) != 1
        || !PyDict_Next(originals, &at, &key, &first) || !number(first, &charged) || !(charged > now - self->keeps)) {
        return 0;
    }
    odd = slot(slot(outcome->history, HISTORY_habits), HABITS_odd);
    if (!is_a(odd, ODDITIES)) {
        return 0;
    }
    if (slot(slot(passage, PASSAGE_shape), SHAPE_conditional) != Py_False) {
        return is_zero(slot(odd, ODDITIES_again));
    }
    return !same_text(slot(passage, PASSAGE_method), word_get) || same_number(slot(odd, ODDITIES_anew), identity);
}

/* Tell whether an original can tell groups nothing new (Spread.passes). */
static int
is_told(Swift *self, Outcome *outcome, PyObject *identity, double now)
{
    PyObject *habits = slot(outcome->history, HISTORY_habits), *member, *images;
    double last;
    if (self->of[MEMBERS] == Py_None || slot(outcome->history, HISTORY_rollup) == Py_None) {
        return 1;
    }
    member = young(self->of[MEMBERS], slot(outcome->history, HISTORY_key));
    if (!is_a(member, MEMBER) || slot(member, MEMBER_token) != Py_None || !number(slot(member, MEMBER_last), &last)
        || now - last > self->visit) {
        return 0;
    }
    if (!(now < self->warm) && is_zero(slot(habits, HABITS_thumbnails)) && is_zero(slot(habits, HABITS_assets))) {
        return 0;
    }
    images = slot(member, MEMBER_images);
    if (images == NULL || !PyTuple_CheckExact(images)
        || (PyTuple_GET_SIZE(images) < self->third && PySequence_Contains(images, identity) != 1)) {
        return 0;
    }
    outcome->member = member;
    return 1;
}

/* Tell whether a picture is one that costs a request and nothing else: had before, or none that is counted. */
static int
is_free(Swift *self, Outcome *outcome, PyObject *passage, PyObject *resource, double now)
{
    PyObject *limits = slot(outcome->allowance, ALLOWANCE_bytes);
    if (limits == NULL || !PyTuple_CheckExact(limits) || slot(outcome->history, HISTORY_trouble) != Py_None
        || !has_room(slot(outcome->history, HISTORY_tats), limits, now)) {
        return 0;
    }
    for (int i = 0; i < outcome->levels; i++) {
        if (!has_room(slot(outcome->networks[i], NETWORK_tats), limits, now)) {
            return 0;
        }
    }
    if (PyTuple_GET_ITEM(resource, RESOURCE_SIZE) != self->of[ORIGINAL]) {
        return 1;
    }
    PyObject *identity = PyTuple_GET_ITEM(resource, RESOURCE_IDENTITY);
    if (!outcome->fresh || PyDict_CheckExact(slot(outcome->history, HISTORY_originals)) == 0) {
        return was_had(self, outcome, passage, identity, now) && is_told(self, outcome, identity, now);
    }
    int had = PyDict_Contains(slot(outcome->history, HISTORY_originals), identity);
    return had >= 0 && is_told(self, outcome, identity, now)
           && (had ? was_had(self, outcome, passage, identity, now) : spend_new(self, outcome, identity));
}

/* Note in the journals of all levels what was charged to them; -1 with an error. */
static int
note_charged(Swift *self, Outcome *outcome)
{
    if (note_seconds(self, outcome->history, slot(outcome->history, HISTORY_journal), outcome->interval) < 0) {
        return -1;
    }
    for (int i = 0; i < outcome->levels; i++) {
        double factor;
        PyObject *network = outcome->networks[i];
        if (!number(slot(network, NETWORK_factor), &factor)
            || note_seconds(self, network, slot(network, NETWORK_journal), outcome->interval / factor) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Write down an outcome; -1 with an error where the history's own code raised one. */
static int
settle(Swift *self, PyObject *passage, Outcome *outcome, PyObject *place, PyObject *face, PyObject *within)
{
    PyObject *history = outcome->history, *resource = slot(place, PLACE_resource);
    put(passage, PASSAGE_find, self->of[FIND]);
    put(passage, PASSAGE_account, Py_None);
    put(passage, PASSAGE_resource, resource);
    put(passage, PASSAGE_history, history);
    put(passage, PASSAGE_habits, history);
    put(passage, PASSAGE_profile, slot(face, FACE_profile));
    put(passage, PASSAGE_role, slot(face, FACE_role));
    put(passage, PASSAGE_look, slot(face, FACE_look));
    put(passage, PASSAGE_verdict, within);
    if (outcome->allowance != NULL) {
        put(passage, PASSAGE_allowance, outcome->allowance);
        put(passage, PASSAGE_grant, Py_None);
    }
    if (outcome->member != NULL) {
        put(outcome->member, MEMBER_last, outcome->now);
    }
    if (outcome->later) {
        put(history, HISTORY_last, outcome->now);
    }
    put(history, HISTORY_requests, outcome->requests);
    if (outcome->returned) {
        put(history, HISTORY_cookies_returned, Py_True);
        put(history, HISTORY_news, Py_True);
    }
    if (outcome->tat != NULL) {
        put(history, HISTORY_tat, outcome->tat);
    }
    for (int i = 0; i < outcome->levels; i++) {
        put(outcome->networks[i], NETWORK_tat, outcome->wide[i]);
    }
    if (outcome->told && note_charged(self, outcome) < 0) {
        return -1;
    }
    if (outcome->noted) {
        PyObject *told[] = {history, resource, passage, outcome->now};
        PyObject *done = PyObject_VectorcallMethod(word_note_kind, told, 4, NULL);
        Py_XDECREF(done);
        if (done == NULL) {
            return -1;
        }
        if (outcome->fresh) { /* Gate._review, which finds nothing */
            put(history, HISTORY_news, Py_False);
            put(history, HISTORY_visit, slot(history, HISTORY_outside));
        }
    }
    return 1;
}

/* Judge a passage: 1 where that was done, 0 where Gate.judge has to (an error may be set, for the caller to
 * clear), -1 with an error that is the caller's to raise. ``only`` is the verdict that is wanted, or NULL. */
static int
judge_usual(Swift *self, PyObject *passage, PyObject *only)
{
    PyObject *values = slot(passage, PASSAGE_values), *raw_path = slot(passage, PASSAGE_raw_path);
    const Order *known = order_of_shape(self, slot(passage, PASSAGE_shape));
    if (known == NULL || values == NULL || !PyTuple_CheckExact(values) || PyTuple_GET_SIZE(values) != known->count
        || raw_path == NULL || !PyBytes_CheckExact(raw_path)) {
        return 0;
    }
    const Order order = *known; /* by value; the passage holds the shape */
    PyObject *place = young(self->of[PLACES], raw_path);
    PyObject *within = is_a(place, PLACE) ? slot(place, PLACE_within) : NULL, *allowance = NULL;
    PyObject *limit = within == NULL ? NULL : slot(place, PLACE_limit);
    if (within == Py_None) {
        /* a picture: what the judge would ask, and say to a yes (NeedsUsage) */
        PyObject *picture = slot(place, PLACE_picture), *query = slot(passage, PASSAGE_query);
        if (picture == NULL || !PyTuple_Check(picture) || PyTuple_GET_SIZE(picture) != 3 || self->keeps < 0.0
            || (!self->spends && self->of[SHARING] == Py_None) || self->strips || query == NULL || !PyBytes_CheckExact(query) || PyBytes_GET_SIZE(query)
            || !is_a(allowance = PyTuple_GET_ITEM(picture, 0), ALLOWANCE)
            || (limit = slot(allowance, ALLOWANCE_only)) == Py_None) {
            return 0;
        }
        within = PyTuple_GET_ITEM(picture, 2);
    }
    if (within == NULL || within == Py_None || (only != NULL && within != only)) {
        return 0;
    }
    PyObject *resource = slot(place, PLACE_resource), *kind;
    if (limit == NULL || resource == NULL || !PyTuple_Check(resource) || PyTuple_GET_SIZE(resource) < 1
        || (kind = PyTuple_GET_ITEM(resource, 0)) == self->of[TRAP]) {
        return 0;
    }
    Outcome outcome = {.history = history_of(self, passage, &order, values), .allowance = allowance};
    if (outcome.history == NULL) {
        return 0;
    }
    /* a clock, the faces and a store are Python's, and could let go of both */
    Py_INCREF(place);
    PyObject *history = Py_NewRef(outcome.history), *face = NULL;
    int done = 0;
    double now = 0.0;
    if ((outcome.now = PyObject_CallNoArgs(self->of[CLOCK])) != NULL && number(outcome.now, &now)
        && (face = face_of(self, passage, history, kind, &order, values)) != NULL) {
        Py_INCREF(face);
        done = slot(face, FACE_odd) == Py_False && slot(face, FACE_profile) != NULL
               && slot(face, FACE_role) != NULL && same_bytes(slot(face, FACE_look), slot(history, HISTORY_look))
               && note(self, &outcome, place, kind, &order, now);
    }
    if (done && limit != Py_None) {
        outcome.told = self->spends ? 0 : tells(self);
        if (outcome.told < 0) {
            done = -1;
        }
        else if (self->spends || outcome.told) {
            done = spend(&outcome, limit, now) && (!outcome.told || open_journals(self, &outcome, limit, now))
                   && (allowance == NULL || is_free(self, &outcome, passage, resource, now));
        }
        else if (allowance != NULL) {
            done = 0;
        }
        else {
            /* Where there is no room nothing is charged, so asking once more is the same question. */
            PyObject *asked[] = {history, limit, outcome.now};
            PyObject *exceeded = PyObject_Vectorcall(self->of[CHARGE], asked, 3, NULL);
            done = exceeded == NULL ? -1 : exceeded == Py_None;
            Py_XDECREF(exceeded);
        }
    }
    /* Up to here the request was only looked at. */
    if (done > 0) {
        done = settle(self, passage, &outcome, place, face, within);
    }
    drop(&outcome);
    Py_XDECREF(face);
    Py_DECREF(history);
    Py_DECREF(place);
    return done;
}

/* ---- The answer --------------------------------------------------------------------------------------- */

/* What the site is given in place of the server's ``send``. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *swift, *passage, *to;
    PyObject *handle;    /* what takes the next message; NULL until the answer begins */
    PyObject *responder; /* who does, where something has to be done to the answer */
    PyObject *status;
} Relay;

enum { SEE_TO, PASS, PASS_PRIVATE };

/* Tell by its Content-Type whether an answer is of a class that passes wherever it comes from, or is a picture. */
static int
passes(Swift *swift, PyObject *content_type)
{
    if (same_bytes(content_type, swift->of[LAST_TYPE])) {
        return PASS;
    }
    if (same_bytes(content_type, swift->of[LAST_IMAGE])) {
        return PASS_PRIVATE;
    }
    PyObject *media = PyDict_GetItemWithError(swift->of[MEDIA], content_type);
    if (media != NULL && media == swift->of[IMAGE]) {
        Py_XSETREF(swift->of[LAST_IMAGE], Py_NewRef(content_type));
        return PASS_PRIVATE;
    }
    if (media == NULL || PySet_Contains(swift->of[PASSING], media) != 1) {
        return SEE_TO;
    }
    Py_XSETREF(swift->of[LAST_TYPE], Py_NewRef(content_type));
    return PASS;
}

/* Charge bytes where they were charged before (MemoryStore.charge_bytes): 1 where that was done, 0 where it was not. */
static int
charge_bytes(Swift *swift, PyObject *passage, double amount)
{
    PyObject *history = slot(passage, PASSAGE_history), *allowance = slot(passage, PASSAGE_allowance), *limits, *level;
    PyObject *tats[1 + MOST_LEVELS];
    double factors[1 + MOST_LEVELS], now;
    int levels = 0;
    if (swift->keeps < 0.0 || !swift->spends || !is_a(history, HISTORY) || slot(passage, PASSAGE_habits) != history
        || slot(passage, PASSAGE_role) != swift->of[NOBODY] || !is_a(allowance, ALLOWANCE)
        || (limits = slot(allowance, ALLOWANCE_bytes)) == NULL || !PyTuple_CheckExact(limits)) {
        return 0;
    }
    if (!PyTuple_GET_SIZE(limits)) {
        return 1;
    }
    PyObject *time = PyObject_CallNoArgs(swift->of[CLOCK]);
    int done = time != NULL && number(time, &now);
    Py_XDECREF(time);
    factors[levels] = 1.0;
    tats[levels++] = slot(history, HISTORY_tats);
    for (level = slot(history, HISTORY_rollup); level != Py_None; level = slot(level, NETWORK_rollup)) {
        if (levels > MOST_LEVELS || !is_a(level, NETWORK) || !number(slot(level, NETWORK_factor), &factors[levels])) {
            return 0;
        }
        tats[levels++] = slot(level, NETWORK_tats);
    }
    /* first whether all of it can be done: what is charged is charged at every level */
    for (int pass = 0; pass < 2 && done; pass++) {
        for (int at = 0; at < levels && done; at++) {
            for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(limits) && done; i++) {
                PyObject *limit = PyTuple_GET_ITEM(limits, i), *known;
                double interval, tat;
                done = is_a(limit, LIMIT) && number(slot(limit, LIMIT_interval), &interval) && tats[at] != NULL
                       && PyDict_CheckExact(tats[at]) && slot(limit, LIMIT_of_bytes) != NULL
                       && (known = PyDict_GetItemWithError(tats[at], slot(limit, LIMIT_of_bytes))) != NULL
                       && number(known, &tat);
                if (done && pass) {
                    tat = (tat > now ? tat : now) + amount / factors[at] * interval;
                    PyObject *moved = PyFloat_FromDouble(tat);
                    done = moved != NULL && PyDict_SetItem(tats[at], slot(limit, LIMIT_of_bytes), moved) == 0;
                    Py_XDECREF(moved);
                }
            }
        }
    }
    return done;
}

/* Return a field's whole number, or -1: in digits, and not so many that a double could not hold it. */
static double
digits(PyObject *value)
{
    double read = 0.0;
    if (!PyBytes_CheckExact(value) || !PyBytes_GET_SIZE(value) || PyBytes_GET_SIZE(value) > 15) {
        return -1.0;
    }
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(value); i++) {
        char digit = PyBytes_AS_STRING(value)[i];
        if (digit < '0' || digit > '9') {
            return -1.0;
        }
        read = read * 10.0 + (digit - '0');
    }
    return read;
}

/* Tell whether a name is in lower case, as bytes.islower() does. */
static int
is_lower(PyObject *name)
{
    int letters = 0;
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(name); i++) {
        char letter = PyBytes_AS_STRING(name)[i];
        if (letter >= 'A' && letter <= 'Z') {
            return 0;
        }
        letters |= letter >= 'a' && letter <= 'z';
    }
    return letters;
}

/* Return what keeps an answer out of shared caches that says ``said`` of caching, borrowed, or NULL. */
static PyObject *
private_of(Swift *swift, PyObject *said)
{
    if (!same_bytes(said, swift->of[LAST_SAID])) {
        PyObject *kept = PyObject_CallOneArg(swift->of[PRIVATE], said);
        if (kept == NULL) {
            return NULL;
        }
        Py_XSETREF(swift->of[LAST_PRIVATE], kept);
        Py_XSETREF(swift->of[LAST_SAID], Py_NewRef(said));
    }
    return swift->of[LAST_PRIVATE];
}

/* Return the fields of an original as they go on (caching.keep_private), and its length; NULL where it takes more. */
static PyObject *
private_fields(Swift *swift, PyObject *headers, double *length)
{
    PyObject *said = NULL, *made = PyList_New(0);
    for (Py_ssize_t i = 0; made != NULL && i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i), *name, *value;
        int plain = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2
                    && PyBytes_CheckExact(name = PyTuple_GET_ITEM(pair, 0)) && is_lower(name);
        for (Py_ssize_t at = 0; plain && at < PyTuple_GET_SIZE(swift->of[CDN]); at++) {
            plain = !same_bytes(name, PyTuple_GET_ITEM(swift->of[CDN], at));
        }
        if (plain && says(name, "cache-control", 13)) {
            value = PyTuple_GET_ITEM(pair, 1);
            plain = said == NULL && PyBytes_CheckExact(value);
            said = plain ? Py_NewRef(value) : said;
            pair = NULL;
        }
        else if (plain && *length < 0.0 && says(name, "content-length", 14)) {
            plain = (*length = digits(PyTuple_GET_ITEM(pair, 1))) >= 0.0;
        }
        if (!plain || (pair != NULL && PyList_Append(made, pair) < 0)) {
            Py_CLEAR(made);
        }
    }
    if (said == NULL) {
        said = PyBytes_FromStringAndSize(NULL, 0);
    }
    PyObject *kept = made != NULL && said != NULL ? private_of(swift, said) : NULL;
    PyObject *pair = kept == NULL ? NULL : PyTuple_Pack(2, word_cache_control, kept);
    if (pair == NULL || PyList_Append(made, pair) < 0) {
        Py_CLEAR(made);
    }
    Py_XDECREF(pair);
    Py_XDECREF(said);
    return made;
}

/* Return the start of an original as it goes on, charged; NULL where it takes more than that. */
static PyObject *
passing_picture(Relay *self, PyObject *message, PyObject *headers, long code)
{
    Swift *swift = (Swift *)self->swift;
    PyObject *passage = self->passage, *resource = slot(passage, PASSAGE_resource), *size;
    double length = -1.0;
    if (swift->shadow || slot(passage, PASSAGE_verdict) != swift->of[PLAIN]
        || PyTuple_GET_SIZE(resource) < RESOURCE_FIELDS
        || PyTuple_GET_ITEM(resource, RESOURCE_KIND) != swift->of[PICTURE]) {
        return NULL;
    }
    size = PyTuple_GET_ITEM(resource, RESOURCE_SIZE);
    if (size != swift->of[ORIGINAL] && size != swift->of[THUMBNAIL]) { /* told by its first bytes */
        return NULL;
    }
    Py_INCREF(headers); /* what is called below could take them out of the message */
    PyObject *fields = private_fields(swift, headers, &length);
    Py_DECREF(headers);
    PyObject *start = fields == NULL || (length < 0.0 && code != 304) ? NULL : PyDict_Copy(message);
    if (start != NULL && PyDict_SetItem(start, word_headers, fields) < 0) {
        Py_CLEAR(start);
    }
    Py_XDECREF(fields);
    if (start != NULL && code != 304 && !charge_bytes(swift, passage, length)) {
        PyObject *amount = usual_error() ? PyLong_FromDouble(length) : NULL;
        PyObject *asked[] = {passage, amount};
        PyObject *noted = amount == NULL ? NULL : PyObject_Vectorcall(swift->of[NOTE_BYTES], asked, 2, NULL);
        if (noted == NULL) {
            Py_CLEAR(start);
        }
        Py_XDECREF(noted);
        Py_XDECREF(amount);
    }
    return start;
}

/* Let an answer pass from here on, if its beginning tells that the whole of it passes; return the beginning as it goes
 * on, or NULL. */
static PyObject *
passes_on(Relay *self, PyObject *message)
{
    PyObject *passage = self->passage, *resource = slot(passage, PASSAGE_resource), *content_type = NULL;
    PyObject *status = IN_MESSAGE(status);
    long code = status != NULL && PyLong_CheckExact(status) ? PyLong_AsLong(status) : -1;
    if (code < 0 || code == 403 || code == 404 || code == 410 || code == 429) { /* noted, or no status at all */
        return NULL;
    }
    if (resource == NULL || !PyTuple_Check(resource) || !PyTuple_GET_SIZE(resource)
        || PyTuple_GET_ITEM(resource, 0) == ((Swift *)self->swift)->of[UNTOLD]
        || same_text(slot(passage, PASSAGE_method), word_head)) {
        return NULL;
    }
    PyObject *headers = IN_MESSAGE(headers);
    if (headers == NULL || !PyList_CheckExact(headers)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i), *name;
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2
            || !PyBytes_CheckExact(name = PyTuple_GET_ITEM(pair, 0)) || says(name, "set-cookie", 10)) {
            return NULL;
        }
        if (says(name, "content-type", 12)) {
            content_type = PyTuple_GET_ITEM(pair, 1);
        }
    }
    if (content_type == NULL || !PyBytes_CheckExact(content_type) || !PyBytes_GET_SIZE(content_type)) {
        return NULL;
    }
    int how = passes((Swift *)self->swift, content_type);
    PyObject *start = how == PASS ? Py_NewRef(message)
                      : how == PASS_PRIVATE ? passing_picture(self, message, headers, code)
                                            : NULL;
    if (start != NULL) {
        Py_XSETREF(self->status, Py_NewRef(status));
        Py_XSETREF(self->handle, Py_NewRef(self->to));
    }
    return start;
}

/* Have the rest of the answer handled by a Responder; tell whether one could be had. */
static int
call_responder(Relay *self)
{
    PyObject *asked[] = {self->passage, self->to};
    PyObject *made = PyObject_Vectorcall(((Swift *)self->swift)->of[RESPONDER], asked, 2, NULL);
    PyObject *handle = made == NULL ? NULL : PyObject_GetAttr(made, word_send);
    if (handle == NULL) {
        Py_XDECREF(made);
        return 0;
    }
    Py_XSETREF(self->responder, made);
    Py_XSETREF(self->handle, handle);
    return 1;
}

static PyObject *
relay_call(PyObject *callable, PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    Relay *self = (Relay *)callable;
    if (PyVectorcall_NARGS(flags) != 1 || (keywords != NULL && PyTuple_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "send() takes one message");
        return NULL;
    }
    PyObject *message = arguments[0], *start = NULL;
    if (self->handle == NULL) {
        PyObject *type = PyDict_CheckExact(message) ? IN_MESSAGE(type) : NULL;
        int begins = type != NULL && PyUnicode_CheckExact(type) && same_text(type, word_start);
        if (!begins && type != NULL && PyUnicode_CheckExact(type)) {
            return PyObject_CallOneArg(self->to, message); /* informational responses, server push, trailers */
        }
        start = begins ? passes_on(self, message) : NULL;
        if (start == NULL && !(usual_error() && call_responder(self))) {
            return NULL;
        }
    }
    /* held: what is called may end in this relay's being let go */
    PyObject *handle = Py_NewRef(self->handle);
    PyObject *answer = PyObject_CallOneArg(handle, start == NULL ? message : start);
    Py_DECREF(handle);
    Py_XDECREF(start);
    return answer;
}

static PyObject *
relay_status(PyObject *object, void *Py_UNUSED(closure))
{
    Relay *self = (Relay *)object;
    if (self->responder != NULL) {
        return PyObject_GetAttr(self->responder, word_status);
    }
    return self->status == NULL ? PyLong_FromLong(0) : Py_NewRef(self->status);
}

static int
relay_traverse(PyObject *object, visitproc visit, void *arg)
{
    Relay *self = (Relay *)object;
    Py_VISIT(self->swift);
    Py_VISIT(self->passage);
    Py_VISIT(self->to);
    Py_VISIT(self->handle);
    Py_VISIT(self->responder);
    return 0;
}

static int
relay_clear(PyObject *object)
{
    /* Only what could lead back here: a relay that is called while a cycle is taken apart finds the rest. */
    Relay *self = (Relay *)object;
    Py_CLEAR(self->responder);
    return 0;
}

static void
relay_dealloc(PyObject *object)
{
    Relay *self = (Relay *)object;
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->swift);
    Py_XDECREF(self->passage);
    Py_XDECREF(self->to);
    Py_XDECREF(self->handle);
    Py_XDECREF(self->responder);
    Py_XDECREF(self->status);
    PyObject_GC_Del(object);
}

/* What sees to the answer in the relay's place, or None while it passes, and before it begins. */
static PyObject *
relay_responder(PyObject *object, void *Py_UNUSED(closure))
{
    Relay *self = (Relay *)object;
    return Py_NewRef(self->responder == NULL ? Py_None : self->responder);
}

static PyMemberDef relay_members[] = {
    {"passage", T_OBJECT_EX, offsetof(Relay, passage), READONLY, NULL},
    {NULL},
};

static PyObject *
relay_send(PyObject *object, void *Py_UNUSED(closure))
{
    return Py_NewRef(object);
}

static PyGetSetDef relay_getset[] = {
    {"responder", relay_responder, NULL, NULL, NULL},
    {"send", relay_send, NULL, NULL, NULL},
    {"status", relay_status, NULL, NULL, NULL},
    {NULL},
};

static PyTypeObject RelayType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "antiscrape.asgi._swift.Relay",
    .tp_basicsize = sizeof(Relay),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
                | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(Relay, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = relay_dealloc,
    .tp_traverse = relay_traverse,
    .tp_clear = relay_clear,
    .tp_members = relay_members,
    .tp_getset = relay_getset,
};

/* ---- What Python calls -------------------------------------------------------------------------------- */

static PyObject *
swift_read(PyObject *object, PyObject *scope)
{
    Swift *self = (Swift *)object;
    PyObject *passage = read_usual(self, scope);
    if (passage != NULL) {
        return passage;
    }
    return usual_error() ? PyObject_CallOneArg(self->of[READ], scope) : NULL;
}

static PyObject *
swift_judge(PyObject *object, PyObject *passage)
{
    Swift *self = (Swift *)object;
    int done = is_a(passage, PASSAGE) ? judge_usual(self, passage, NULL) : 0;
    if (done > 0) {
        return Py_NewRef(passage);
    }
    return done == 0 && usual_error() ? PyObject_CallOneArg(self->of[JUDGE], passage) : NULL;
}

/* Return the scope's state, borrowed, where it is a plain dictionary. */
static PyObject *
state_of(PyObject *scope)
{
    PyObject *state = IN_SCOPE(state);
    return state != NULL && PyDict_CheckExact(state) ? state : NULL;
}

/* Tell whether a server is sure to be sent the whole body: by no extension can the site go around ``send``. */
static int
sends_all(Swift *self, PyObject *scope)
{
    PyObject *extensions = PyDict_GetItemWithError(scope, word_extensions);
    if (extensions == NULL) {
        return PyErr_Occurred() == NULL;
    }
    if (!PyDict_CheckExact(extensions)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->of[SHORTCUTS]); i++) {
        if (PyDict_Contains(extensions, PyTuple_GET_ITEM(self->of[SHORTCUTS], i)) != 0) {
            return 0;
        }
    }
    return 1;
}

static PyObject *
relay_of(PyObject *swift, PyObject *passage, PyObject *to)
{
    Relay *relay = PyObject_GC_New(Relay, &RelayType);
    if (relay != NULL) {
        relay->call = relay_call;
        relay->swift = Py_NewRef(swift);
        relay->passage = Py_NewRef(passage);
        relay->to = Py_NewRef(to);
        relay->handle = relay->responder = relay->status = NULL;
        PyObject_GC_Track(relay);
    }
    return (PyObject *)relay;
}

static PyObject *
swift_begin(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Swift *self = (Swift *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "begin() takes a scope and a send");
        return NULL;
    }
    PyObject *scope = arguments[0], *passage = NULL, *state;
    int done = 0;
    if (PyDict_CheckExact(scope) && state_of(scope) != NULL && sends_all(self, scope)
        && (passage = read_usual(self, scope)) != NULL
        && !(self->strips && PyBytes_GET_SIZE(slot(passage, PASSAGE_query)))) {
        done = judge_usual(self, passage, self->of[PLAIN]);
    }
    if (done <= 0) {
        Py_XDECREF(passage);
        return done == 0 && usual_error() ? Py_NewRef(Py_None) : NULL;
    }
    PyObject *relay = NULL;
    if ((state = state_of(scope)) != NULL && PyDict_SetItem(state, word_antiscrape, passage) == 0) {
        relay = relay_of(object, passage, arguments[1]);
    }
    else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the scope changed while it was judged");
    }
    Py_DECREF(passage);
    return relay;
}

/* Return what the site is given to answer a request that the Python code judged. */
static PyObject *
swift_relay(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !is_a(arguments[0], PASSAGE)) {
        PyErr_SetString(PyExc_TypeError, "relay() takes a passage and a send");
        return NULL;
    }
    return relay_of(object, arguments[0], arguments[1]);
}

static PyObject *
swift_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {
        "read", "judge", "find_face", "find", "clock", "charge", "shapes", "hosts", "direct", "relayed", "places",
        "trap", "untold", "noted", "plain", "media", "passing", "shortcuts", "responder", "picture", "original",
        "thumbnail", "nobody", "members", "image", "cdn", "private", "note_bytes", "spend_new", "none_odd", "records", "term", "sharing", "visit", "tick", "keeps", "warm",
        "review", "third", "believes", "strips", "spends", "shadow", NULL};
    PyObject *of[ARGUMENTS];
    double visit, tick, keeps, warm;
    long review, third;
    int believes, strips, spends, shadow;
    if (classes[PASSAGE] == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "bind() comes first");
        return NULL;
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "$OOOOOOOOOOOOOO!OO!O!O!OOOOOOOO!OOOOOO!Oddddllpppp", names, &of[READ], &of[JUDGE], &of[FIND_FACE], &of[FIND],
            &of[CLOCK], &of[CHARGE], &of[SHAPES], &of[HOSTS], &of[DIRECT], &of[RELAYED], &of[PLACES], &of[TRAP],
            &of[UNTOLD], &PyTuple_Type, &of[NOTED], &of[PLAIN], &PyDict_Type, &of[MEDIA], &PyFrozenSet_Type,
            &of[PASSING], &PyTuple_Type, &of[SHORTCUTS], &of[RESPONDER], &of[PICTURE], &of[ORIGINAL], &of[THUMBNAIL],
            &of[NOBODY], &of[MEMBERS], &of[IMAGE], &PyTuple_Type, &of[CDN], &of[PRIVATE], &of[NOTE_BYTES],
            &of[SPEND_NEW], &of[NONE_ODD], &of[RECORDS], &PyList_Type, &of[TERM], &of[SHARING], &visit, &tick, &keeps, &warm, &review, &third, &believes, &strips, &spends, &shadow)) {
        return NULL;
    }
    Swift *self = (Swift *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int i = 0; i < ARGUMENTS; i++) {
        self->of[i] = Py_NewRef(of[i]);
    }
    self->visit = visit;
    self->tick = tick;
    self->keeps = keeps;
    self->warm = warm;
    self->review = review;
    self->third = third;
    self->shadow = shadow;
    self->believes = believes;
    self->strips = strips;
    self->spends = spends;
    return (PyObject *)self;
}

static int
swift_traverse(PyObject *object, visitproc visit, void *arg)
{
    Swift *self = (Swift *)object;
    for (int i = 0; i < REFERENCES; i++) {
        Py_VISIT(self->of[i]);
    }
    for (int i = 0; i < ORDERS; i++) {
        Py_VISIT(self->orders[i].shape);
    }
    for (int i = 0; i < LOOKS; i++) {
        Py_VISIT(self->looks[i].face);
    }
    return 0;
}

static void
swift_dealloc(PyObject *object)
{
    Swift *self = (Swift *)object;
    PyObject_GC_UnTrack(object);
    for (int i = 0; i < REFERENCES; i++) {
        Py_XDECREF(self->of[i]);
    }
    for (int i = 0; i < ORDERS; i++) {
        Py_XDECREF(self->orders[i].text);
        Py_XDECREF(self->orders[i].shape);
    }
    for (int i = 0; i < LOOKS; i++) {
        Py_XDECREF(self->looks[i].face);
        Py_XDECREF(self->looks[i].text);
    }
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef swift_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))swift_begin, METH_FASTCALL, NULL},
    {"judge", swift_judge, METH_O, NULL},
    {"read", swift_read, METH_O, NULL},
    {"relay", (PyCFunction)(void (*)(void))swift_relay, METH_FASTCALL, NULL},
    {NULL},
};

static PyTypeObject SwiftType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "antiscrape.asgi._swift.Swift",
    .tp_basicsize = sizeof(Swift),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = swift_new,
    .tp_dealloc = swift_dealloc,
    .tp_traverse = swift_traverse,
    .tp_methods = swift_methods,
};

/* ---- The whole of a request --------------------------------------------------------------------------- */

/* What requests go to: the swift way for those about which all is as usual, ``others`` for the rest. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *begin, *app, *others, *excuse, *broken; /* the last: what the site raises when it breaks off */
    PyObject *plain, *standing, *allowed, *record;    /* the verdict that is only counted, where, and what takes the others */
    PyObject *below, *mention; /* the paths of the browser's check, and its cookie; None where there is no check */
} Door;

/* A request on its way through the site: Middleware._serve from where the site is asked, without a frame of its own. */
typedef struct {
    PyObject_HEAD
    PyObject *door, *relay, *scope;
    PyObject *inner; /* what is awaited: the site, then perhaps the excuse for it; NULL when that is over */
    int excusing, counted, running;
} Passing;

static PyTypeObject PassingType;

/* Count or record what became of a request, once; -1 with an error. */
static int
note_down(Passing *self)
{
    Door *door = (Door *)self->door;
    Relay *relay = (Relay *)self->relay;
    if (self->counted) {
        return 0;
    }
    self->counted = 1;
    if (slot(relay->passage, PASSAGE_verdict) != door->plain) {
        PyObject *status = relay_status(self->relay, NULL);
        PyObject *asked[] = {relay->passage, status};
        PyObject *done = status == NULL ? NULL : PyObject_Vectorcall(door->record, asked, 2, NULL);
        Py_XDECREF(status);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    PyObject *known = PyDict_GetItemWithError(door->allowed, door->standing);
    long so_far = known != NULL ? PyLong_AsLong(known) : -1;
    PyObject *more = so_far < 0 ? NULL : PyLong_FromLong(so_far + 1);
    int done = more == NULL ? -1 : PyDict_SetItem(door->allowed, door->standing, more);
    Py_XDECREF(more);
    if (done < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the recorder's counts are gone");
    }
    return done;
}

/* The same with an error on its way, which goes on; where counting raises one, that one does. */
static void
note_error(Passing *self)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (note_down(self) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(trace);
    }
    else {
        PyErr_Restore(type, value, trace);
    }
}

/* Return what an awaitable is waited for by. */
static PyObject *
waiter(PyObject *awaitable)
{
    if (awaitable == NULL || PyCoro_CheckExact(awaitable) || PyGen_CheckExact(awaitable)) {
        return awaitable;
    }
    PyObject *found = PyObject_CallMethodNoArgs(awaitable, word___await__);
    Py_DECREF(awaitable);
    return found;
}

/* Take the error that the site ended with: 1 where it is one to be excused, which is awaited from now on; else 0. */
static int
excused(Passing *self)
{
    Door *door = (Door *)self->door;
    Py_CLEAR(self->inner);
    if (self->excusing || !PyErr_ExceptionMatches(door->broken)) {
        return 0;
    }
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    PyObject *asked[] = {value, self->relay, self->scope};
    self->inner = waiter(PyObject_Vectorcall(door->excuse, asked, 3, NULL));
    self->excusing = 1;
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return self->inner != NULL;
}

static PySendResult
passing_send(PyObject *object, PyObject *value, PyObject **result)
{
    Passing *self = (Passing *)object;
    *result = NULL;
    if (self->inner == NULL || self->running) {
        PyErr_SetString(PyExc_RuntimeError, "a request is awaited once");
        return PYGEN_ERROR;
    }
    for (;;) {
        self->running = 1;
        PySendResult how = PyIter_Send(self->inner, value, result);
        self->running = 0;
        if (how == PYGEN_NEXT) {
            return how;
        }
        if (how == PYGEN_ERROR && excused(self)) {
            value = Py_None;
            continue;
        }
        Py_CLEAR(self->inner);
        if (how == PYGEN_ERROR) {
            note_error(self);
            return how;
        }
        Py_DECREF(*result);
        *result = NULL;
        if (note_down(self) < 0) {
            return PYGEN_ERROR;
        }
        *result = Py_NewRef(Py_None);
        return how;
    }
}

/* Return what a generator's method returns of what was sent: what is yielded, or an error, which an end is, too. */
static PyObject *
told_of(PySendResult how, PyObject *result)
{
    if (how == PYGEN_RETURN) {
        Py_CLEAR(result);
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

static PyObject *
passing_next(PyObject *object)
{
    PyObject *result;
    PySendResult how = passing_send(object, Py_None, &result);
    return told_of(how, result);
}

static PyObject *
passing_send_method(PyObject *object, PyObject *value)
{
    PyObject *result;
    PySendResult how = passing_send(object, value, &result);
    return told_of(how, result);
}

/* Raise an error where the request waits: a client that left, a server that ends. */
static PyObject *
passing_throw(PyObject *object, PyObject *arguments)
{
    Passing *self = (Passing *)object;
    if (self->inner == NULL || self->running) {
        PyErr_SetString(PyExc_RuntimeError, "a request is awaited once");
        return NULL;
    }
    PyObject *throws = PyObject_GetAttr(self->inner, word_throw), *yielded = NULL;
    if (throws != NULL) {
        self->running = 1;
        yielded = PyObject_Call(throws, arguments, NULL);
        self->running = 0;
        Py_DECREF(throws);
    }
    if (yielded != NULL) {
        return yielded;
    }
    if (PyErr_ExceptionMatches(PyExc_StopIteration)) { /* it was caught, and the site is done */
        Py_CLEAR(self->inner);
        note_error(self);
        if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyErr_Clear();
            PyErr_SetNone(PyExc_StopIteration);
        }
        return NULL;
    }
    if (excused(self)) {
        return passing_next(object);
    }
    note_error(self);
    return NULL;
}

static PyObject *
passing_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    Passing *self = (Passing *)object;
    PyObject *inner = self->inner;
    if (inner == NULL) {
        Py_RETURN_NONE;
    }
    self->inner = NULL;
    PyObject *done = PyObject_CallMethodNoArgs(inner, word_close);
    Py_DECREF(inner);
    if (done == NULL) {
        note_error(self);
        return NULL;
    }
    Py_DECREF(done);
    if (note_down(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
passing_traverse(PyObject *object, visitproc visit, void *arg)
{
    Passing *self = (Passing *)object;
    Py_VISIT(self->door);
    Py_VISIT(self->relay);
    Py_VISIT(self->scope);
    Py_VISIT(self->inner);
    return 0;
}

static int
passing_clear(PyObject *object)
{
    Py_CLEAR(((Passing *)object)->inner); /* only what could lead back here */
    return 0;
}

static void
passing_dealloc(PyObject *object)
{
    Passing *self = (Passing *)object;
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->inner);
    Py_XDECREF(self->relay);
    Py_XDECREF(self->scope);
    Py_XDECREF(self->door);
    PyObject_GC_Del(object);
}

static PyMethodDef passing_methods[] = {
    {"close", passing_close, METH_NOARGS, NULL},
    {"send", passing_send_method, METH_O, NULL},
    {"throw", passing_throw, METH_VARARGS, NULL},
    {NULL},
};

static PyAsyncMethods passing_async = {.am_await = PyObject_SelfIter, .am_send = passing_send};

static PyTypeObject PassingType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "antiscrape.asgi._swift.Passing",
    .tp_basicsize = sizeof(Passing),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_async = &passing_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = passing_next,
    .tp_dealloc = passing_dealloc,
    .tp_traverse = passing_traverse,
    .tp_clear = passing_clear,
    .tp_methods = passing_methods,
};

/* Tell whether a request has nothing to do with the browser's check: it is not for it, and brings no clearance. HTTP/2 may
 * send several cookies' fields (RFC 9113 8.2.3). */
static int
is_beside(Door *self, PyObject *scope)
{
    if (self->below == Py_None) {
        return 1;
    }
    PyObject *path = IN_SCOPE(path), *headers = IN_SCOPE(headers);
    if (path == NULL || !PyUnicode_CheckExact(path) || headers == NULL || !PyList_CheckExact(headers)
        || PyUnicode_Tailmatch(path, self->below, 0, PY_SSIZE_T_MAX, -1) != 0) {
        return 0;
    }
    const char *mention = PyBytes_AS_STRING(self->mention);
    Py_ssize_t size = PyBytes_GET_SIZE(self->mention);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *pair = PyList_GET_ITEM(headers, i), *name, *value;
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2
            || !PyBytes_CheckExact(name = PyTuple_GET_ITEM(pair, 0))) {
            return 0;
        }
        if (!says(name, "cookie", 6)) {
            continue;
        }
        if (!PyBytes_CheckExact(value = PyTuple_GET_ITEM(pair, 1))) {
            return 0;
        }
        const char *at = PyBytes_AS_STRING(value), *end = at + PyBytes_GET_SIZE(value) - size;
        while (at <= end && (at = memchr(at, mention[0], (size_t)(end - at) + 1)) != NULL) {
            if (!memcmp(at, mention, (size_t)size)) {
                return 0;
            }
            at++;
        }
    }
    return 1;
}

/* Return what takes the answer of a request about which all is as usual; NULL, with or without an error, for any other. */
static PyObject *
begun(Door *self, PyObject *scope, PyObject *send)
{
    PyObject *type = PyDict_CheckExact(scope) ? IN_SCOPE(type) : NULL;
    if (type == NULL || !PyUnicode_CheckExact(type) || !same_text(type, word_http) || !is_beside(self, scope)) {
        return NULL;
    }
    PyObject *asked[] = {scope, send};
    PyObject *relay = PyObject_Vectorcall(self->begin, asked, 2, NULL);
    if (relay != NULL && !Py_IS_TYPE(relay, &RelayType)) {
        Py_CLEAR(relay);
    }
    return relay;
}

static PyObject *
door_call(PyObject *callable, PyObject *const *arguments, size_t flags, PyObject *keywords)
{
    Door *self = (Door *)callable;
    if (PyVectorcall_NARGS(flags) != 3 || (keywords != NULL && PyTuple_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "an ASGI app takes a scope, a receive and a send");
        return NULL;
    }
    PyObject *scope = arguments[0], *relay = begun(self, scope, arguments[2]);
    if (relay == NULL) { /* what raised, raises again there, where it is seen to */
        return usual_error() && self->others != NULL ? PyObject_Vectorcall(self->others, arguments, 3, NULL) : NULL;
    }
    Passing *passing = PyObject_GC_New(Passing, &PassingType);
    if (passing == NULL) {
        Py_DECREF(relay);
        return NULL;
    }
    passing->door = Py_NewRef(callable);
    passing->relay = relay;
    passing->scope = Py_NewRef(scope);
    passing->inner = NULL;
    passing->excusing = passing->counted = passing->running = 0;
    PyObject_GC_Track(passing);
    PyObject *asked[] = {scope, arguments[1], relay};
    passing->inner = waiter(PyObject_Vectorcall(self->app, asked, 3, NULL));
    if (passing->inner == NULL && !excused(passing)) {
        note_error(passing);
        Py_CLEAR(passing);
    }
    return (PyObject *)passing;
}

static PyObject *
door_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"begin", "app", "others", "excuse", "broken", "plain", "standing", "allowed", "record",
                            "below", "mention", NULL};
    PyObject *of[11];
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "$OOOOOOOO!OOO", names, &of[0], &of[1], &of[2], &of[3], &of[4],
                                     &of[5], &of[6], &PyDict_Type, &of[7], &of[8], &of[9], &of[10])) {
        return NULL;
    }
    if (of[9] != Py_None && !(PyUnicode_CheckExact(of[9]) && PyBytes_CheckExact(of[10]) && PyBytes_GET_SIZE(of[10]))) {
        PyErr_SetString(PyExc_TypeError, "a check has a path and a cookie");
        return NULL;
    }
    Door *self = (Door *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    PyObject **at[] = {&self->begin, &self->app, &self->others, &self->excuse, &self->broken, &self->plain,
                       &self->standing, &self->allowed, &self->record, &self->below, &self->mention};
    for (int i = 0; i < 11; i++) {
        *at[i] = Py_NewRef(of[i]);
    }
    self->call = door_call;
    return (PyObject *)self;
}

static int
door_traverse(PyObject *object, visitproc visit, void *arg)
{
    Door *self = (Door *)object;
    Py_VISIT(self->begin);
    Py_VISIT(self->app);
    Py_VISIT(self->others);
    Py_VISIT(self->excuse);
    Py_VISIT(self->broken);
    Py_VISIT(self->plain);
    Py_VISIT(self->standing);
    Py_VISIT(self->allowed);
    Py_VISIT(self->record);
    return 0;
}

static int
door_clear(PyObject *object)
{
    Door *self = (Door *)object;
    Py_CLEAR(self->others); /* a bound method of who holds the door */
    return 0;
}

static void
door_dealloc(PyObject *object)
{
    Door *self = (Door *)object;
    PyObject_GC_UnTrack(object);
    PyObject *held[] = {self->begin, self->app, self->others, self->excuse, self->broken, self->plain,
                        self->standing, self->allowed, self->record, self->below, self->mention};
    for (int i = 0; i < 11; i++) {
        Py_XDECREF(held[i]);
    }
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef door_members[] = {
    {"app", T_OBJECT_EX, offsetof(Door, app), 0, NULL},
    {"begin", T_OBJECT_EX, offsetof(Door, begin), 0, NULL},
    {NULL},
};

static PyTypeObject DoorType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "antiscrape.asgi._swift.Door",
    .tp_basicsize = sizeof(Door),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = door_new,
    .tp_vectorcall_offset = offsetof(Door, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = door_dealloc,
    .tp_traverse = door_traverse,
    .tp_clear = door_clear,
    .tp_members = door_members,
};

/* Find where a class keeps a slot; TypeError where it keeps none of this name. */
static int
find_slot(PyTypeObject *class, const char *name, Py_ssize_t *offset)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)class, name);
    if (found == NULL || !Py_IS_TYPE(found, &PyMemberDescr_Type)
        || ((PyMemberDescrObject *)found)->d_member->type != T_OBJECT_EX
        || !PyType_IsSubtype(class, PyDescr_TYPE(found))) {
        PyErr_Format(PyExc_TypeError, "%s has no slot named %s", class->tp_name, name);
        Py_XDECREF(found);
        return 0;
    }
    *offset = ((PyMemberDescrObject *)found)->d_member->offset;
    Py_DECREF(found);
    return 1;
}

static PyObject *
bind(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyTypeObject *given[CLASSES];
    if (!PyArg_ParseTuple(
            args, "O!O!O!O!O!O!O!O!O!O!O!O!O!O!", &PyType_Type, &given[PASSAGE], &PyType_Type, &given[HISTORY], &PyType_Type,
            &given[NETWORK], &PyType_Type, &given[PLACE], &PyType_Type, &given[FACE], &PyType_Type, &given[MEMO], &PyType_Type, &given[LIMIT],
            &PyType_Type, &given[SHAPE], &PyType_Type, &given[ALLOWANCE], &PyType_Type, &given[HABITS], &PyType_Type,
            &given[ODDITIES], &PyType_Type, &given[MEMBER], &PyType_Type, &given[PACE], &PyType_Type,
            &given[JOURNAL])) {
        return NULL;
    }
#define FIND(class, name) \
    if (!find_slot(given[class], #name, &class##_##name)) { \
        return NULL; \
    }
    SLOTS(FIND)
#undef FIND
    for (int i = 0; i < CLASSES; i++) {
        Py_XSETREF(classes[i], (PyTypeObject *)Py_NewRef(given[i]));
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS, NULL},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "antiscrape.asgi._swift",
    .m_doc = "A known clean client's request in C; see antiscrape.asgi.swift.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__swift(void)
{
#define INTERN(name) \
    if ((word_##name = PyUnicode_InternFromString(#name)) == NULL) { \
        return NULL; \
    }
    WORDS(INTERN)
    INTERN(https)
    INTERN(wss)
#undef INTERN
    if ((word_start = PyUnicode_InternFromString("http.response.start")) == NULL
        || (word_head = PyUnicode_InternFromString("HEAD")) == NULL
        || (word_get = PyUnicode_InternFromString("GET")) == NULL
        || (word_cache_control = PyBytes_FromString("cache-control")) == NULL) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddType(module, &SwiftType) < 0 || PyModule_AddType(module, &RelayType) < 0
        || PyModule_AddType(module, &DoorType) < 0 || PyModule_AddType(module, &PassingType) < 0
        || PyModule_AddStringConstant(module, "SOURCE", SOURCE) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
