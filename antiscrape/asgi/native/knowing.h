/* Knowing: whom a request comes from, and which face it shows (Clients.history, Gate._face). */

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
