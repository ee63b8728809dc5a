/* Objects of Python as they are met here: classes, the places of their slots, words, and small questions about values. */

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
    X(raw_path) X(scheme) X(state) X(status) X(send) X(type) X(lesser) X(open) X(hasten) X(rests) X(brief) X(resting) X(http) X(path) X(throw) X(close)

#define WORD(name) static PyObject *word_##name;
WORDS(WORD)
#undef WORD
/* Where the last scope, and the last message, had these of them. */
static Py_ssize_t scope_client, scope_headers, scope_http_version, scope_method, scope_path, scope_query_string;
static Py_ssize_t scope_raw_path, scope_scheme, scope_state, scope_type, message_headers, message_status, message_type;
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
