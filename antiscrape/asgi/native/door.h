/* The door: what requests go to, the swift way for those about which all is as usual, the Python code for the rest. */

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
    if (self->begin == NULL || self->app == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a door without its site");
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
    passing->inner = passing->excused = NULL;
    passing->counted = passing->running = 0;
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
