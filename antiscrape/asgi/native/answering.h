/* The answer: what Responder.send would let pass. */

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
